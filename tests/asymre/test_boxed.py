r"""The last box of a text, one form for many writings, plain numbers, and no text that makes these slow."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymre.rewards.boxed import last_boxed
from asymre.rewards.verifier import MAX_LENGTH
from asymre.rewards.writing import number, tidy


@pytest.mark.parametrize(
    "text,expected",
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{3}, no: \boxed{ 4 }", "4"),
        (r"$\fbox{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"\boxed {5}", "5"),
        (r"$\boxed 5$ and more", "5"),
        (r"$\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        ("\\[\\boxed 7\\] and", "7"),
        ("\\boxed 7\nand", "7"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{\left\{1,2\right\}}", r"\left\{1,2\right\}"),
        (r"\boxed{a\}b}", r"a\}b"),
        (r"\boxed{[0,1\}", None),  # the brace that would close it is escaped
        ("\\boxed{\\text{a\nb}}", "\\text{a\nb}"),
        (r"\boxed{5", None),
        (r"\boxed{5} then \boxed{6", None),  # cut off: the last one counts
        (r"\boxed{}", None),
        (r"\boxed", None),
        (r"\boxedtext{5}", None),
        ("5", None),
        ("", None),
        (r"$x=\boxed{2}$ and $x=\boxed{5}$.", "x=2 and x=5"),
        (r"$x = \boxed{2}$ or $x = \boxed{5}$.", "x = 2 or x = 5"),
        (r"\[x=\boxed{2}\quad\text{or}\quad x=\boxed{5}\]", r"x=2\quad\text{or}\quad x=5"),
        (r"$\boxed{1}$, $\boxed{2}$, and $\boxed{3}$", "1, 2, and 3"),
        (r"$\boxed 5$ and $\boxed 6$", "5 and 6"),
        (r"\boxed{\boxed{2},\boxed{5}}", "2,5"),
        (r"$x=\boxed{2}$, $y=\boxed{5}$", "x=2, y=5"),
        (r"\boxed{1}, \boxed{2}. No: \boxed{3}", "3"),
        (r"\boxed{2}. And \boxed{5}", "5"),  # another sentence
        ("\\boxed{2},\n\\boxed{5}", "5"),  # another line
        (r"\boxed{2} or rather \boxed{3}", "3"),
        (r"\boxed{2} = \boxed{3}", "3"),
        (r"\boxed{2} \boxed{3}", "3"),
        (r"\boxed{2}, \boxed{", None),
        (r"\boxed{}, \boxed{5}", None),
    ],
)
def test_last_boxed(text, expected):
    assert last_boxed(text) == expected


@given(st.text(alphabet="ab{}\\ $\n"), st.text(alphabet="ab {}"))
def test_a_balanced_box_at_the_end_is_found(before, content):
    depths = [content[:i].count("{") - content[:i].count("}") for i in range(len(content) + 1)]
    if min(depths) == depths[-1] == 0:
        assert last_boxed(before.rstrip("\\") + rf"\boxed{{{content}}}") == (content.strip() or None)


@given(st.text())
def test_any_text_is_read(text):
    last_boxed(text)
    number(tidy(text))


@pytest.mark.parametrize(
    "text,value",
    [
        ("12", 12),
        ("-12", -12),
        (".5", Fraction(1, 2)),
        ("-1250.50", Fraction(-2501, 2)),
        ("3/4", Fraction(3, 4)),
        (r"\frac{-1}{2}", Fraction(-1, 2)),
        (r"5\frac{3}{2}", None),  # more likely a product
        ("3(2)", None),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        ("1,23", None),
        ("1 2", None),
        ("2^3", None),
        ("1e3", 1000),
        ("9" * 41, None),
        ("٣", None),  # a digit, but not ours
        ("", None),
        ("-", None),
    ],
)
def test_number(text, value):
    assert number(text) == value


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_numbers_are_equal_in_every_form(whole, denominator):
    value = Fraction(whole, denominator)
    forms = [rf"\frac{{{whole}}}{{{denominator}}}", f"{whole} / {denominator}", f"${whole}/{denominator}$"]
    forms.append(rf"\dfrac{{{value.numerator}}}{{{value.denominator}}}")
    forms += [f"{value.numerator:,}/{value.denominator}"] if abs(whole) < 1000 else []
    assert {number(tidy(form)) for form in forms} == {value}
    for form in (
        f"{whole:,}",
        f"{whole:,}.00",
        f"{whole:,}".replace(",", r"\,"),
        f"{whole:,}".replace(",", "{,}"),
    ):
        assert number(tidy(form)) == whole


def test_tidy_changes_form_alone():
    assert tidy(r"\frac \pi4+\frac35") == r"\frac{\pi}{4}+\frac{3}{5}"
    assert tidy(r"\frac{12}{5,\!525}") == r"\frac{12}{5525}"
    assert tidy(r"\dfrac{1}{2},(1,2),100,101") == r"\frac{1}{2},(1,2),100,101"


@pytest.mark.parametrize(
    "text,expected",
    [
        (r"\sqrt[3]2+\sqrt2", r"\sqrt[3]{2}+\sqrt{2}"),
        (r"\binom52\frac1{x}", r"\binom{5}{2}\frac{1}{x}"),
        (r"\frac{1}{", r"\frac{1}{"),
        ("x_1^2", "x_1^2"),
        ("0.1(6)", r"\frac{15}{90}"),
        ("√12·x²", r"\sqrt{12}\cdot x^2"),
        ("12≤π", r"12\le \pi"),
        ("11 5/6", r"\frac{71}{6}"),
        ("11 6/5", "11 6/5"),
        ("1,234", "1234"),
        ("1, 234", "1, 234"),
        ("(1,234)", "(1,234)"),
        ("1,234,5", "1,234,5"),
        (r"\textbf{12}", "12"),
        (r"\displaystyle \mathbf{\frac12}", r"{\frac{1}{2}}"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
def test_tidy(text, expected):
    assert tidy(text) == expected == tidy(expected)


HOSTILE = {
    "nested": "\\boxed{" + "{" * 1_000_000 + "}" * 1_000_000,
}
MORE_HOSTILE = {
    "backslashes": "\\boxed{" + "\\" * 2_000_000,
    "list": "\\boxed{1}," * 200_000,
    "joint": "\\boxed{1}" + ", " * 1_000_000 + "\\boxed{1}",
    "frac": "\\boxed{" + "\\frac" * 200_000,
    "roots": "\\boxed{" + "√(" * 200_000,
    "boxes": "\\boxed{" * 300_000,
    "words": "\\boxed" * 300_000,
    "spaces": "\\boxed " + " " * 2_000_000 + "x",
    "braces": "{" * 2_000_000,
    "texts": "\\boxed{" + "\\text{" * 300_000,
    "digits": "\\boxed{" + "1,000" * 300_000 + "}",
    "powers": "\\boxed{" + "x^" * 500_000 + "}" * 500_000,
}


@pytest.mark.parametrize(
    "hostile",
    [
        *(pytest.param(text, id=name) for name, text in HOSTILE.items()),
        *(pytest.param(text, id=name, marks=pytest.mark.slow) for name, text in MORE_HOSTILE.items()),
    ],
)
def test_time_grows_with_length_alone(hostile):
    assert_fast(hostile)


def test_time_grows_with_length_alone_in_every_form():
    """A tenth of the length: what grows with its square still takes many times the limit's tenth."""
    for name, text in (HOSTILE | MORE_HOSTILE).items():
        assert_fast(text[: len(text) // 10], name, limit=2)


def assert_fast(hostile, name="", limit=10):
    # Of this process: other work on the machine says nothing.
    started = time.process_time()
    answer = last_boxed(hostile) or ""
    tidy(answer[:MAX_LENGTH])  # the verifier refuses longer ones
    tidy(hostile[-MAX_LENGTH:])
    assert time.process_time() - started < limit, name
