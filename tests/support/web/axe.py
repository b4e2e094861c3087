"""axe-core in a page of Selenium: what a person with a screen reader or a keyboard would miss."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

AXE = Path(__file__).parents[3] / "host/web/node_modules/axe-core/axe.min.js"

# The rules of WCAG 2.2 A and AA, and axe's best practices; axe's default, said out loud.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

RUN = """
    const done = arguments[arguments.length - 1];
    axe.run(document, { runOnly: arguments[0], resultTypes: ["violations", "incomplete"] }).then(
      (found) => done(found.violations), (error) => done([{ id: String(error), nodes: [] }]));"""


def violations(driver: "Chrome") -> list[str]:
    """Return a line for each place of the page that breaks a rule: the rule, the place, why."""
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = driver.execute_async_script(RUN, TAGS)
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"] or [{"target": "page", "failureSummary": "axe failed"}]
    ]
