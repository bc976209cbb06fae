"""What axe-core finds on a page: barriers for people who cannot see it, see little, or use no mouse."""

from __future__ import annotations

from typing import cast

from axe_core_python.selenium import Axe
from selenium.webdriver import Chrome

AXE = Axe()

PHONE, DESK = 390, 1280  # pixels
THEMES = ("light", "dark")


def look_as(chromium: Chrome, width: int, theme: str) -> None:
    """Show pages as on a screen of this width, to a person who prefers this theme."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def barriers(chromium: Chrome) -> list[str]:
    """Of the page, or of the frame that is selected. Each with its rule, its element and what to do about it."""
    found = AXE.run(chromium, options={"resultTypes": ["violations"]})  # the others take most of the time
    return [
        f"{rule['id']}: {element['html'][:100]}: {element['failureSummary']}"
        for rule in cast("list[dict[str, list[dict[str, str]]]]", found["violations"])
        for element in rule["nodes"]
    ]
