"""``label.html``: what it holds, and a person's keys in a real browser."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photos
import pytest

from scenarios.suggest.pages.labeling_page import ShownImage, labeling_page
from scenarios.suggest.pages.pictures import data_url


def page(folder: Path, count: int, classes: list[str]) -> Path:
    """Writes images and a page that asks for them."""
    shown = []
    for number in range(count):
        picture = photos.painted(number % 3, number)
        picture.save(folder / f"{number}.png")
        shown.append(
            ShownImage(f"{number}.png", f"{number}.png", data_url(picture), "", classes[0], 0.5, "why not")
        )
    place = folder / "label.html"
    place.write_text(labeling_page("Batch <1>", str(folder), classes, shown), encoding="utf-8")
    return place


def test_nothing_in_a_name_ends_the_page(tmp_path: Path) -> None:
    names = ["</script><script>alert(1)</script>", "<!--", "a & b", '"quoted"', "ä 猫"]
    text = page(tmp_path, 2, names).read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    assert "<!--" not in text
    assert "<title>Batch &lt;1&gt;</title>" in text
    found = re.search(r'<script id="batch" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    batch = json.loads(found[1])
    assert batch["classes"] == names
    assert [image["file"] for image in batch["images"]] == ["0.png", "1.png"]


def test_the_page_asks_nothing_of_a_network(tmp_path: Path) -> None:
    assert not re.search(
        r"(src|href)=[\"']?(https?:)?//|@import|fetch\(", page(tmp_path, 1, ["a"]).read_text()
    )


# ---- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium that saves downloads in ``tmp_path / "saved"``."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="drives a browser through selenium")
    programs = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    program, driver = next(filter(None, programs), None), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--window-size=1200,800",
    ):
        options.add_argument(argument)
    saved = tmp_path / "saved"
    saved.mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(saved)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


class Keyboard:
    """Keys for an open page, and what it then shows."""

    def __init__(self, browser: Any) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        self.browser, self.keys = browser, Keys
        self._chain = lambda: ActionChains(browser)

    def press(self, *keys: str) -> None:
        self._chain().send_keys(*keys).perform()

    def together(self, held: str, key: str) -> None:
        self._chain().key_down(held).send_keys(key).key_up(held).perform()

    def text(self, element: str) -> str:
        return str(self.browser.find_element("id", element).text)


@pytest.mark.slow
def test_fifty_images_are_labeled_by_keys(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page(tmp_path, 60, ["ant", "bee", "cow"]).as_uri())
    user = Keyboard(browser)
    assert user.text("count") == "0 of 60"
    for number in range(50):
        user.press("123"[number % 3])
    assert user.text("count") == "50 of 60"
    user.press(user.keys.BACKSPACE)
    assert user.text("count") == "49 of 60"
    assert user.text("name") == "50. 49.png"
    user.press(".")
    assert user.text("count") == "49 of 60, 1 unclear"
    user.press("z", "e", "b", "r", "a")
    user.together(user.keys.SHIFT, user.keys.ENTER)
    assert len(browser.find_elements("css selector", "#classes button")) == 4
    user.press("z", "e", user.keys.ENTER)
    user.press(user.keys.ENTER)
    assert user.text("count") == "52 of 60, 1 unclear"
    browser.refresh()
    assert user.text("count") == "52 of 60, 1 unclear"
    assert user.text("name") == "54. 53.png"
    browser.execute_script("window.showSaveFilePicker = undefined")
    user.together(user.keys.CONTROL, "s")
    saved = tmp_path / "saved" / "labels.csv"
    WebDriverWait(browser, 20).until(lambda _: saved.exists())
    with saved.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "label", "note"]
    assert [row[1] for row in rows[1:50]] == [("ant", "bee", "cow")[number % 3] for number in range(49)]
    assert rows[50:] == [
        ["49.png", "", "unclear"],
        ["50.png", "zebra", ""],
        ["51.png", "zebra", ""],
        ["52.png", "ant", ""],
    ]
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone(browser: Any, tmp_path: Path, dark: bool) -> None:
    browser.get(page(tmp_path, 60, [f"class {number}" for number in range(100)]).as_uri())
    size = {"width": 390, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    needed, given = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert needed <= given == 390
    color = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", color)[:3]))
    assert (brightness < 200) is dark
