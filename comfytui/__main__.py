"""``comfytui`` and ``python -m comfytui``."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code; ``--version`` is answered before anything is imported."""
    if sys.argv[1:] == ["--version"]:
        from comfytui import __version__

        print(f"comfytui {__version__}")
        return
    from comfytui.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
