"""Measure the site in Chromium: python -m tests.web.measure [SITE], a built site, build/site.

What docs/performance.md says of the browser: computing a step, how long the page's own thread is
blocked while the tab trains as fast as it goes, and the first paint.
"""

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.web.chromium import start
from tests.support.web.site import SiteServer
from tests.support.web.site_page import SitePage

RUNS = 5

# Run before the page's own scripts: keeps what the observer and the worker say.
WATCHER = """
    window.measured = { tasks: [], loaded: 0, trained: 0, state: null };
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) measured.tasks.push([task.startTime, task.duration]);
    }).observe({ type: "longtask", buffered: true });
    window.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => {
          measured.loaded ||= performance.now();  // the first answer: MicroPython is loaded
          if (data.event !== "state") return;
          if (data.detail.step === data.detail.steps) measured.trained ||= data.detail.computing_ms;
          measured.state = data.detail;
        });
      }
    };"""

RESULT = """
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN;
    return { ...measured, paint };"""


@contextmanager
def watched_page(folder: Path) -> Iterator[SitePage]:
    """A tab of Chromium that keeps the figures, with the site of `folder` in it."""
    server, driver = SiteServer(folder), start()
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHER})
        yield SitePage(driver, server.url)
    finally:
        driver.quit()
        server.close()


def one_run(page: SitePage) -> dict[str, float]:
    """Load the page anew, train the default model as fast as it goes; return the figures."""
    page.go("try")
    page.until(lambda: page.the("#run-start").is_enabled())
    page.slide("#run-speed", 10)  # as fast as it goes
    began = page.driver.execute_script("return performance.now()")
    page.press("#run-start")
    page.until(lambda: page.driver.execute_script("return measured.state?.phase === 'done'"))
    found: dict[str, Any] = page.driver.execute_script(RESULT)
    return {
        "ms a step": found["trained"] / found["state"]["steps"],
        "longest task of the page before the run, ms": longest(found["tasks"], 0, began),
        "longest task of the page in the run, ms": longest(found["tasks"], began, float("inf")),
        "first paint, ms": found["paint"],
        "MicroPython loaded, ms": found["loaded"],
    }


def longest(tasks: list[list[float]], start: float, end: float) -> float:
    """Return the longest of the tasks over 50 ms that began in a time, 0 if there is none."""
    return max((duration for begin, duration in tasks if start <= begin < end), default=0)


def main(folder: Path) -> None:
    """Print the median of each figure, and the least and the most."""
    with watched_page(folder) as page:
        runs = [one_run(page) for _ in range(RUNS)]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name}: {statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/site"))
