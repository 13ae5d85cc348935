"""The page of a server in Debian's Chromium, for `integration/page`."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WITHOUT_CHROMIUM = "needs Chromium: apt install chromium"

#: Messages that Chromium itself logs for a failed request; the page shows its own message.
_STATUS = re.compile(r"Failed to load resource: (the server responded with a status of \d+|net::ERR_CONNECTION_\w+)")


def launched(playwright: Playwright) -> Browser:
    """Headless Chromium, without a sandbox, because most containers do not allow one."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])


def _host(url: str) -> str:
    """Scheme, host and port."""
    return re.sub(r"(://[^/]+)/.*", r"\1", url)


class Reader:
    """A user who looks at the page.

    Attributes
    ----------
    page : The page of the browser.
    complaints : Errors and warnings of the console.
    """

    def __init__(self, page: Page, url: str):
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self._hosts: set[str] = set()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._hosts.add(_host(request.url)))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not _STATUS.match(text):
            self.complaints.append(text)

    def open(self) -> "Reader":
        """Load the page and wait for its first answer."""
        with self.answered():
            self.page.goto(self.url)
        return self

    @contextmanager
    def answered(self, status: int = 200) -> Iterator[None]:
        """Wait for the answer to the actions inside."""
        with self.page.expect_response(lambda reply: reply.url == f"{self.url}/simulate") as reply:
            yield
        assert reply.value.status == status
        self.settled()

    def settled(self) -> None:
        """Wait until the page shows the answer."""
        expect(self.page.locator("#results")).to_have_attribute("aria-busy", "false")

    def text(self, id_: str) -> str:
        """Text of an element."""
        return self.page.locator(f"#{id_}").text_content() or ""

    def fill(self, id_: str, value: object, status: int = 200) -> None:
        """Type into a field and wait for the answer."""
        with self.answered(status):
            self.page.locator(f"#{id_}").fill(str(value))

    def body(self) -> dict[str, Any]:
        """The request that the page shows."""
        found = re.search(r"-d '(.*)'", self.text("curl"), re.DOTALL)
        assert found is not None
        body: dict[str, Any] = json.loads(found[1])
        return body

    def captions(self, gallery: str) -> list[int]:
        """Number of photons below each picture."""
        texts = self.page.locator(f"#{gallery} figcaption").all_text_contents()
        return [int(text.split()[0]) for text in texts]

    def alert(self) -> str:
        """The page's error message; empty if there is none."""
        box = self.page.locator("#problem")
        return (box.locator("p").text_content() or "") if box.is_visible() else ""

    def unfold(self) -> None:
        """Open all folded sections."""
        self.page.evaluate("() => document.querySelectorAll('details').forEach(details => { details.open = true; })")

    def leave(self) -> None:
        """Close; check that there were no complaints and no requests to other hosts."""
        self.page.context.close()
        assert self.complaints == []
        assert self._hosts <= {_host(self.url)}
