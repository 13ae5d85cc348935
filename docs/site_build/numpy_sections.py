"""A griffe extension: reads the docstring sections of this project, which write ``name : description`` on one line."""

import re
import textwrap
from typing import Any

from griffe import Extension, Object

_BODY = r"\n-+\n(.*?)(?=^\w[^\n]*\n-{3,}$|\Z)"
_NAMED = re.compile(rf"^(?:Parameters|Attributes|Raises){_BODY}", re.MULTILINE | re.DOTALL)
_RETURNED = re.compile(rf"^(Returns|Yields){_BODY}", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\S[^:\n]*?) : (.*)$", re.MULTILINE)
#: Sections that griffe leaves as they are; their underlines would become headings of the page.
_OTHER = re.compile(r"^(References|Notes)\n-+$", re.MULTILINE)

_SESSION = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def numpy_form(docstring: str) -> str:
    """Sections as griffe reads them: a name on a separate line, its description indented below.

    Without this step, griffe reads the description after the colon as the type.
    """
    text = _NAMED.sub(lambda section: _ENTRY.sub(r"\1\n    \2", section[0]), docstring)
    text = _RETURNED.sub(lambda section: f"{section[1]}\n-------\n:\n{_indented(section[2])}\n\n", text)
    text = _OTHER.sub(r"**\1**\n", text)
    return _SESSION.sub(r"```pycon\n\g<0>\n```", text)


def _indented(text: str) -> str:
    return textwrap.indent(text.strip(), "    ")


class NumpySections(Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = numpy_form(obj.docstring.value)
