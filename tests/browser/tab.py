"""A page open in the browser, and what a test waits for in it."""

from __future__ import annotations

import re

POLLING = 20
"""Milliseconds between two looks: by default it is when a page paints, and few paint often."""


class Tab:
    """One page; what it logs as an error is a fault unless the test expects it."""

    def __init__(self, page, agent=""):
        self.page = page
        self.agent = agent
        self._expected = []
        self._faults = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", f"uncaught: {error}"))

    def _note(self, kind, text):
        if kind == "error":
            self._faults.append(text)

    def expects(self, *patterns):
        """Errors that belong to the test, as the browser words them."""
        self._expected += patterns

    def check(self):
        """Nothing was logged as an error that the test did not expect."""
        faults = [
            text for text in self._faults if not any(re.search(p, text) for p in self._expected)
        ]
        self._faults, self._expected = [], []
        assert not faults, faults

    def do(self, statements):
        """Run statements in the page, whatever they come to."""
        self.page.evaluate(f"() => {{ {statements} }}")

    def run(self, script, argument=None):
        """What an expression or a function of the page comes to."""
        return self.page.evaluate(script, argument)

    def until(self, script, argument=None):
        """Wait until an expression or a function of the page is true; what it came to.

        A page whose policy is against evaluating strings is to be asked with `shows` and `has`.
        """
        return self.page.wait_for_function(script, arg=argument, polling=POLLING).json_value()

    def shows(self, selector, text):
        """Wait until an element has exactly this text, or one that a pattern finds."""
        _expect(self.page.locator(selector)).to_have_text(text)

    def shows_all(self, selector, texts):
        """Wait until the matching elements have these texts, in order."""
        _expect(self.page.locator(selector)).to_have_text(texts)

    def has(self, selector, **properties):
        """Wait until an element has these properties."""
        for name, value in properties.items():
            _expect(self.page.locator(selector)).to_have_js_property(name, value)

    def clicks(self, selector):
        """Click, as soon as the element can be clicked."""
        self.page.bring_to_front()  # others paint once a second, and a click waits for that
        self.page.click(selector)

    def enters(self, selector, text):
        """Type into a field, and press Enter there."""
        self.page.fill(selector, text)
        self.page.press(selector, "Enter")

    def close(self):
        self.page.close()


def _expect(locator):
    from playwright.sync_api import expect  # here, as it may not be installed where tests are read

    return expect(locator)
