"""Does a folder lie on a network file system, where a change made elsewhere raises no event here? Best effort."""

import os
from collections.abc import Iterable
from pathlib import Path

#: File systems whose changes by others raise no events, or only some: network and host-guest shares.
_REMOTE = frozenset(
    """nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs afpfs webdav davfs 9p 9p2000 drvfs vboxsf vmhgfs prl_fs prl_vbox virtiofs
    ceph lustre glusterfs beegfs gpfs afs ncpfs ocfs2 gfs2 macfuse osxfuse sshfs""".split()  # noqa: SIM905
)


def events_reach(folder: Path) -> bool:
    """Tell whether file events can be relied on in ``folder``; ``True`` where that cannot be found out. Blocking."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        place = Path(os.path.realpath(folder))
        if place.drive.startswith("\\\\"):  # a UNC path: \\server\share
            return False
        mounts = [(part.mountpoint, part.fstype, part.opts) for part in psutil.disk_partitions(all=True)]
    except (OSError, RuntimeError, psutil.Error):
        return True
    return not is_remote(place, mounts)


def is_remote(place: Path, mounts: Iterable[tuple[str, str, str]]) -> bool:
    """Tell whether the innermost of ``mounts`` (mount point, type, options) that holds ``place`` is a remote one."""
    best: tuple[int, bool] = (-1, False)
    for point, kind, options in mounts:
        if place.is_relative_to(point):
            depth = len(Path(point).parts)
            if depth >= best[0]:  # of two mounts at one point the later one hides the earlier
                best = depth, _remote_kind(kind.lower(), options.lower().split(","))
    return best[1]


def _remote_kind(kind: str, options: list[str]) -> bool:
    return kind in _REMOTE or (kind.startswith("fuse.") and kind != "fuse.fuseblk") or "remote" in options
