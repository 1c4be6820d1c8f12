"""``junit.xml``: the scenes as test cases in a suite for each run, the gate as one more; CI systems read it."""

from xml.etree import ElementTree as Xml

from comfytui.model.report import Report, SceneFigures


def junit_xml(report: Report) -> bytes:
    """Return ``report`` as JUnit XML: a scene that did not go well fails, and one without a record is an error."""
    root = Xml.Element("testsuites", name=report.title)
    by_run: dict[str, list[SceneFigures]] = {}
    for scene in report.scenes:
        by_run.setdefault(scene.run_id, []).append(scene)
    for run in report.runs:
        scenes = by_run.get(run.run_id, [])
        suite = Xml.SubElement(root, "testsuite", name=run.run_id, tests=str(max(run.planned, len(scenes))))
        suite.set("failures", str(sum(not scene.well for scene in scenes)))
        suite.set("errors", str(max(0, run.planned - len(scenes))))
        suite.set("time", f"{sum(scene.seconds or 0.0 for scene in scenes):.1f}")
        for scene in scenes:
            _case(suite, scene)
        for number in range(len(scenes), run.planned):
            case = Xml.SubElement(suite, "testcase", classname=run.run_id, name=f"scene {number + 1} of {run.planned}")
            Xml.SubElement(case, "error", message="it has no record")
    if report.gate:
        broken = sum(verdict.broken for verdict in report.gate)
        suite = Xml.SubElement(root, "testsuite", name="gate", tests=str(len(report.gate)), failures=str(broken))
        for verdict in report.gate:
            case = Xml.SubElement(suite, "testcase", classname="gate", name=verdict.condition)
            if verdict.broken:
                Xml.SubElement(case, "failure", message=verdict.why)
    Xml.indent(root)
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _case(suite: Xml.Element, scene: SceneFigures) -> None:
    case = Xml.SubElement(suite, "testcase", classname=scene.run_id, name=scene.scene)
    if scene.seconds is not None:
        case.set("time", f"{scene.seconds:.1f}")
    if not scene.well:
        frames, floor = ("?" if each is None else each for each in (scene.frames, scene.floor))
        why = scene.error or f"{frames}/{floor} frames, exit reason {scene.exit_reason or '?'}"
        Xml.SubElement(case, "failure", message=why, type=scene.status or "unknown")
