"""Take the pictures of the service's page that the documentation shows; needs chromium.

.venv/bin/python tools/page_picture.py http://127.0.0.1:8080 docs/page.png
"""

import shutil
from pathlib import Path

import click
from microgpt.cli.options import PATH
from microgpt.cli.run import run
from microgpt.errors import UserError
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

SIZE = (1280, 1000)
PATIENCE_S = 30
SAID = ("Hi", "Ada")


@click.command()
@click.argument("url")
@click.argument("target", type=PATH)
@click.option("--prompt", default="", help="What each document begins with.")
def page_picture(url: str, target: Path, prompt: str) -> None:
    """Use the page and write it as the PNG file TARGET.

    Chats, or generates documents if the model does not chat, and points at the chart.

    Example: python tools/page_picture.py http://127.0.0.1:8080 docs/page.png
    """
    driver_path = shutil.which("chromedriver")
    if not driver_path:
        raise UserError("no chromedriver here: on Debian, apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")
    options.add_argument("--hide-scrollbars")
    options.add_argument(f"--window-size={SIZE[0]},{SIZE[1]}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    try:
        _use(driver, url, prompt)
        driver.save_screenshot(str(target))
    finally:
        driver.quit()
    click.echo(f"drawn: {target}")


def _use(driver: webdriver.Chrome, url: str, prompt: str) -> None:
    """Do on the page what a visitor would do."""
    width, height = SIZE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(url)
    wait = WebDriverWait(driver, PATIENCE_S)
    wait.until(lambda d: d.find_element(By.ID, "model").text and _count(d, "#runs-list li"))
    if driver.find_element(By.ID, "chat-form").is_displayed():
        for number, text in enumerate(SAID, 1):
            driver.find_element(By.CSS_SELECTOR, "#chat-form [name=content]").send_keys(text)
            driver.find_element(By.CSS_SELECTOR, "#chat-form [type=submit]").click()
            _wait_for(wait, "#messages .assistant:not(.writing)", number)
    else:
        form = driver.find_element(By.ID, "documents-form")
        form.find_element(By.NAME, "prompt").send_keys(prompt)
        form.find_element(By.CSS_SELECTOR, "[type=submit]").click()
        wait.until(lambda d: _count(d, "#samples li"))
    curve = driver.find_element(By.ID, "curve")
    driver.execute_script("window.scrollTo(0, 0)")
    webdriver.ActionChains(driver).move_to_element(curve).perform()
    wait.until(lambda d: d.find_element(By.ID, "reading").is_displayed())


def _wait_for(wait: WebDriverWait[webdriver.Chrome], selector: str, count: int) -> None:
    wait.until(lambda driver: _count(driver, selector) == count)


def _count(driver: webdriver.Chrome, selector: str) -> int:
    return len(driver.find_elements(By.CSS_SELECTOR, selector))


if __name__ == "__main__":
    run(page_picture)
