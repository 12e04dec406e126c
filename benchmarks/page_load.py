"""Seconds until interactive pages are drawn, each time in a fresh Chromium.

Usage: python -m benchmarks.page_load [results/report/index.html ...]

Pages are opened in turns. Usable: the first screen is drawn and answers. Complete: all is drawn.
Thread: processor time of the thread that runs the page, which other programs hardly change.
"""

import shutil
import sys
from pathlib import Path
from statistics import median

from playwright.sync_api import Playwright, sync_playwright

ROUNDS = 9


def load(playwright: Playwright, page: Path) -> dict[str, float]:
    """Open a page, and return its times in seconds."""
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto(page.resolve().as_uri(), wait_until="commit")
    tab.wait_for_selector("body[data-ready]")
    complete = tab.evaluate("performance.now()")
    usable = tab.evaluate("performance.getEntriesByName('usable')[0]?.startTime ?? NaN")
    metrics = session.send("Performance.getMetrics")["metrics"]
    (thread,) = (one["value"] for one in metrics if one["name"] == "TaskDuration")
    browser.close()
    return {"usable": usable / 1000, "complete": complete / 1000, "thread": thread}


def main() -> None:
    """Print a row for each page that is named."""
    pages = [*map(Path, sys.argv[1:] or ["results/report/index.html"])]
    with sync_playwright() as playwright:
        found = [[load(playwright, page) for page in pages] for _ in range(ROUNDS)]
    print(
        "| page | size (MB) | usable (s) | complete (s) | thread (s) |\n|---|---:|---:|---:|---:|"
    )
    for place, page in enumerate(pages):
        times = [f"{median(one[place][name] for one in found):.2f}" for name in found[0][place]]
        print(f"| {page.name} | {page.stat().st_size / 1e6:.1f} | {' | '.join(times)} |")


if __name__ == "__main__":
    main()
