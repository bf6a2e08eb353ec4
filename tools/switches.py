"""Puts changes that cargo-mutants lists into the source text, many at a time, each behind a switch (tools/mutation-score).

A function that has changes gets its body once more for each of them:

    { match crate::switch() {
    17 => {...the body with change 17...}
    _ => {...the body as it was...} } }

Constant functions, and functions inside other functions, cannot be written this way. Their changes are left out here.
"""

import collections
import re

SWITCH = """
/// The number of the change that is on: SWITCH in the environment.
pub(crate) fn switch() -> u32 {
    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *ON.get_or_init(|| std::env::var("SWITCH").ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}
"""
SIGNATURE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? +)?((?:const +|async +|unsafe +)*)fn ", re.MULTILINE)


class Text:
    """A source file by lines and columns, which count characters from 1."""

    def __init__(self, text):
        self.text = text
        self.starts = [0]
        for line in text.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def between(self, span):
        return tuple(self.starts[span[end]["line"] - 1] + span[end]["column"] - 1 for end in ("start", "end"))

    def changed(self, change):
        """The text with this change alone."""
        start, end = self.between(change["span"])
        return self.text[:start] + change["replacement"] + self.text[end:]


def body_of(text, start, end):
    """Where the function's body begins that stands in text[start:end]; None for a constant function."""
    signature = SIGNATURE.search(text, text.rfind("\n", 0, start) + 1, end)
    if signature is None or "const" in signature.group(1):
        return None
    depth = 0
    for at in range(signature.end(), end):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if text[at] == "{" and depth == 0:
            return at
    return None


def switched(text, changes):
    """Gives the text with the changes, a dict of number to change, behind switches; the first and last line of each
    change's body, by number; the lines of each rewritten function, with its numbers; and the numbers set aside."""
    source = Text(text)
    functions = collections.defaultdict(list)
    aside = set()
    for number, change in changes.items():
        if change["function"]:
            functions[source.between(change["function"]["span"])].append(number)
        else:
            aside.add(number)
    out, at, arms, rewritten = "", 0, {}, []
    line = lambda: out.count("\n") + 1
    for (start, end), numbers in sorted(functions.items()):
        body = body_of(text, start, end)
        if body is None or start < at:
            aside.update(numbers)
            continue
        out += text[at:body]
        began = line()
        out += "{ match crate::switch() {"
        for number in numbers:
            first, last = source.between(changes[number]["span"])
            out += f"\n{number} => "
            top = line()
            out += text[body:first] + changes[number]["replacement"] + text[last:end]
            arms[number] = (top, line())
        out += "\n_ => " + text[body:end] + " } }"
        rewritten.append((began, line(), numbers))
        at = end
    return out + text[at:], arms, rewritten, aside


def to_blame(message, arms, rewritten):
    """The numbers of the changes that one of the compiler's messages is about. `arms` and `rewritten` by file."""
    spans = list(message["spans"])
    for child in message["children"]:
        spans += child["spans"]
    spans.sort(key=lambda span: not span["is_primary"])
    for span in spans:
        file, first = span["file_name"], span["line_start"]
        for number, (top, bottom) in arms.get(file, {}).items():
            if top <= first <= bottom:
                return {number}
    for span in spans:
        for began, ended, numbers in rewritten.get(span["file_name"], []):
            if began <= span["line_start"] <= ended:
                return set(numbers)
    return set()
