r"""Random answers in other writings, which are right, and in near misses, which are not.

Each example is a value with what it may look like and what is almost it. A near miss that counts as right is
a false reward; there may be none. All pairs are checked at once, for the time a process takes to start.
"""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.rewards.verifier import Verifier

SETTINGS = settings(deadline=None, derandomize=True, database=None)
DIGIT = st.integers(1, 9)
SMALL = st.integers(2, 9)
WHOLE = st.one_of(st.integers(1, 40), st.integers(1000, 10**9))


@st.composite
def integers(draw):
    n = draw(WHOLE)
    right = [f"{n:,}", f"+{n}", f"{n}.0", f"{2 * n}/2", rf"\frac{{{3 * n}}}{{3}}"]
    wrong = [str(n + 1), str(-n), f"{n}0", f"{n}, {n + 1}", rf"\pm {n}", f"{n}.0000001", f"{n}x", f"{n}_2"]
    wrong += [f"{n // 1000}, {n % 1000:03}"] if n >= 1000 else []
    return str(n), right, wrong


@st.composite
def fractions(draw):
    value = Fraction(draw(st.integers(1, 30)), draw(st.integers(2, 30)))
    p, q = value.numerator, value.denominator
    right = [f"{p}/{q}", rf"\dfrac{{{2 * p}}}{{{2 * q}}}", rf"\frac {{{p}}} {{{q}}}", f"{p} / {q}"]
    right += [rf"\frac{p}{q}"] if p < 10 and q < 10 else []
    wrong = [rf"-\frac{{{p}}}{{{q}}}", rf"\frac{{{p + 1}}}{{{q}}}", rf"\frac{{{p}}}{{{q + 1}}}", f"{p}{q}"]
    wrong += [rf"\frac{{{q}}}{{{p}}}"] if p != q else []
    if value > 1 and q > 1:
        whole, rest = divmod(p, q)
        right += [
            f"{whole} {rest}/{q}",
            rf"{whole}\frac{{{rest}}}{{{q}}}",
            rf"{whole}\,\tfrac{{{rest}}}{{{q}}}",
        ]
        wrong += [
            f"{whole} {rest}/{q + 1}",
            rf"{whole} \cdot \frac{{{rest}}}{{{q}}}",
            f"{whole + 1} {rest}/{q}",
        ]
    if 10**40 % q:
        wrong.append(f"{float(value):.7f}")
    return rf"\frac{{{p}}}{{{q}}}", right, wrong


@st.composite
def decimals(draw):
    places = draw(st.integers(1, 12))
    n = draw(st.integers(1, 10**places - 1).filter(lambda n: n % 10 not in (0, 9)))
    gold = f"0.{n:0{places}}"
    right = [gold + "0", gold[1:], rf"\frac{{{n}}}{{{10**places}}}", rf"{n} \cdot 10^{{-{places}}}"]
    wrong = [f"0.{n + 1:0{places}}", gold + "1", "-" + gold, "1" + gold[1:], f"0.{n:0{places + 1}}"]
    return gold, right, wrong


@st.composite
def powers(draw):
    base, exponent = draw(SMALL), draw(st.integers(30, 120))
    gold = rf"\frac{{1}}{{{base}^{{{exponent}}}}}"
    right = [rf"{base}^{{-{exponent}}}", rf"\frac1{{{base**exponent}}}"]
    wrong = [
        "0",
        rf"{base}^{{-{exponent + 1}}}",
        rf"\frac{{1}}{{{base**exponent + 1}}}",
        rf"{base}^{{{exponent}}}",
    ]
    return gold, right, wrong


@st.composite
def radicals(draw):
    a, b, c = draw(SMALL), draw(SMALL), draw(st.sampled_from([2, 3, 5, 7]))
    gold = rf"{a}+{b}\sqrt{{{c}}}"
    right = [
        rf"{b}\sqrt{c}+{a}",
        f"{a}+{b}√{c}",
        rf"{a}+\sqrt{{{b * b * c}}}",
        rf"{a}+{b}\cdot {c}^{{\frac12}}",
    ]
    right.append(rf"\frac{{{2 * a}+{2 * b}\sqrt{c}}}2")
    wrong = [
        rf"{a}-{b}\sqrt{{{c}}}",
        rf"{a}+{b}\sqrt{{{c + 1}}}",
        rf"{b + 10}+{a}\sqrt{{{c}}}",
        rf"{a}\pm{b}\sqrt{{{c}}}",
    ]
    wrong += [rf"{a}+{b}\sqrt[3]{{{c}}}", rf"{a}+{b}\sqrt{{{c}}}+10^{{-30}}", f"{a + b * c**0.5:.9f}"]
    return gold, right, wrong


@st.composite
def both_signs(draw):
    a, b, c = draw(SMALL), draw(SMALL), draw(st.sampled_from([2, 3, 5, 7]))
    plus, minus = rf"{a * b}+{a}\sqrt{{{c}}}", rf"{a * b}-{a}\sqrt{{{c}}}"
    right = [
        f"{minus}, {plus}",
        rf"x={plus} \text{{ or }} x={minus}",
        rf"\{{{plus},{minus}\}}",
        f"{a}({b}±√{c})",
    ]
    wrong = [plus, minus, rf"{a}({b}\pm\sqrt{{{c + 1}}})", f"{plus}, {minus}, 1", f"{plus}, {plus}"]
    return rf"{a}({b}\pm\sqrt{{{c}}})", right, wrong


@st.composite
def lists(draw):
    numbers = draw(st.lists(st.integers(-30, 30), min_size=2, max_size=5, unique=True))
    gold = ", ".join(map(str, numbers))
    right = [", ".join(map(str, numbers[::-1])), r" \text{ and } ".join(map(str, numbers)), rf"\{{{gold}\}}"]
    right.append(" or ".join(f"x = {n}" for n in numbers))
    wrong = [", ".join(map(str, numbers[1:])), f"{gold}, 31", f"{gold}, {numbers[0]}", str(numbers[0])]
    wrong.append(", ".join(map(str, [*numbers[1:], 31])))
    return gold, right, wrong


@st.composite
def points(draw):
    numbers = draw(st.lists(st.integers(-200, 999), min_size=2, max_size=4, unique=True))
    gold = f"({', '.join(map(str, numbers))})"
    right = [gold.replace(" ", ""), rf"\left{gold[:-1]}\right)", f"${gold}$", gold.replace("-", "−")]
    wrong = [f"({', '.join(map(str, numbers[::-1]))})", f"({', '.join(map(str, numbers[1:]))}, 1000)"]
    wrong += [rf"\{{{gold[1:-1]}\}}", f"({', '.join(map(str, [*numbers, 0]))})", "".join(map(str, numbers))]
    return gold, right, wrong


@st.composite
def intervals(draw):
    a, b = sorted(draw(st.lists(st.integers(-9, 9), min_size=2, max_size=2, unique=True)))
    left, right_ = draw(st.sampled_from("([")), draw(st.sampled_from(")]"))
    below, above = (r"\le" if left == "[" else "<"), (r"\le" if right_ == "]" else "<")
    gold = f"{left}{a},{b}{right_}"
    right = [rf"{a} {below} x {above} {b}", rf"x \in {gold}", rf"\left{left} {a}, {b} \right{right_}"]
    right.append(f"{a} {'≤' if left == '[' else '<'} x {'≤' if right_ == ']' else '<'} {b}")
    other = {"(": "[", "[": "(", ")": "]", "]": ")"}
    wrong = [f"{other[left]}{a},{b}{right_}", f"{left}{a},{b}{other[right_]}", f"{left}{a},{b + 1}{right_}"]
    wrong += [rf"x {above} {b}", rf"{a} {'<' if left == '[' else chr(92) + 'le'} x {above} {b}"]
    return gold, right, wrong


@st.composite
def unions(draw):
    a, b = sorted(draw(st.lists(st.integers(-9, 9), min_size=2, max_size=2, unique=True)))
    gold = rf"(-\infty,{a})\cup[{b},\infty)"
    right = [
        rf"x<{a} \text{{ or }} x \ge {b}",
        rf"[{b},\infty)\cup(-\infty,{a})",
        f"(−∞,{a})∪[{b},∞)",
        f"x≥{b} or x<{a}",
    ]
    wrong = [
        rf"x<{a} \text{{ and }} x \ge {b}",
        rf"x \le {a} \text{{ or }} x \ge {b}",
        rf"(-\infty,{a})",
        f"x<{a}",
    ]
    wrong += [
        rf"(-\infty,{a})\cap[{b},\infty)",
        rf"(-\infty,{b})\cup[{a},\infty)",
        rf"(-\infty,{a})\cup({b},\infty)",
    ]
    return gold, right, wrong


@st.composite
def complex_roots(draw):
    a, b = draw(DIGIT), draw(SMALL)
    gold = f"{a}+{b}i,{a}-{b}i"
    right = [rf"z={a}\pm {b}i", f"z={a}-{b}i, z={a}+{b}i", rf"z \in \{{{a}+{b}i, {a}-{b}i\}}"]
    wrong = [f"z={a}+{b}i", f"{a}+{b}i,{a + 1}-{b}i", f"{a}+{b},{a}-{b}", f"{b}+{a + 9}i,{b}-{a + 9}i"]
    return gold, right, wrong


@st.composite
def polynomials(draw):
    a, b = draw(DIGIT), draw(SMALL)
    gold = f"x^2+{a + b}x+{a * b}"
    right = [f"(x+{a})(x+{b})", f"x²+{a + b}x+{a * b}", rf"{a * b}+x({a + b}+x)", rf"\mathbf{{{gold}}}"]
    wrong = [
        f"(x-{a})(x+{b})",
        gold.replace("x", "t"),
        gold.replace("x", "X"),
        f"{gold}+10^{{-20}}",
        f"{gold}=0",
    ]
    return gold, right, wrong


@st.composite
def bases(draw):
    base = draw(st.integers(3, 9))
    digits = "".join(draw(st.lists(st.sampled_from("012"), min_size=2, max_size=6)))
    digits = "1" + digits
    right = [f"{digits}_{{{base}}}", f"{digits}_{{ {base} }}", f"({digits})_{base}"]
    wrong = [
        digits,
        str(int(digits, base)),
        f"{digits}_{base - 1}",
        f"{digits}0_{base}",
        f"{digits[::-1]}3_{base}",
    ]
    return f"{digits}_{base}", right, wrong


@st.composite
def choices(draw):
    letter, other = draw(st.lists(st.sampled_from("ABCDE"), min_size=2, max_size=2, unique=True))
    right = [letter, letter.lower(), f"({letter.lower()})", rf"\text{{{letter}}}", rf"\mathrm{{({letter})}}"]
    wrong = [other, f"({other})", f"{letter}, {other}", rf"\text{{{other}}}", f"{letter}{other}"]
    return rf"\text{{({letter})}}", right, wrong


KINDS = (integers, fractions, decimals, powers, radicals, both_signs, lists, points, intervals, unions)
KINDS += (complex_roots, polynomials, bases, choices)
STYLES = (r"{}", r"\displaystyle {}", r"${}$", r"{}.", r"\; {} \,")
QUANTITIES = (r"\textbf{{{}}}", r"\mathrm{{{}}}", r"{}\text{{ cm}}", r"{}\,\mathrm{{cm}}^2")


def examples(count: int) -> list[tuple[str, str, bool]]:
    """(answer, gold, whether it is right) from every kind, in a style each."""
    pairs: dict[tuple[str, str], bool] = {}
    for kind in KINDS:

        @settings(SETTINGS, max_examples=count)
        @given(kind(), st.randoms(use_true_random=False))
        def collect(example, rng):
            gold, right, wrong = example
            for answers, is_right in ((right, True), (wrong, False)):
                for answer in answers:
                    style = rng.choice(STYLES + (QUANTITIES if answer.isascii() and answer.isdigit() else ()))
                    pairs[style.format(answer), gold] = is_right

        collect()
    return [(answer, gold, is_right) for (answer, gold), is_right in pairs.items()]


@pytest.mark.parametrize(("count", "at_least"), [(5, 450), pytest.param(16, 1500, marks=pytest.mark.slow)])
def test_other_writings_are_right_and_near_misses_are_not(count, at_least):
    pairs = examples(count)
    assert len(pairs) > at_least
    with Verifier(workers=1, timeout_s=30) as verifier:
        verdicts = verifier.verify(
            [rf"\boxed{{{answer}}}" for answer, _, _ in pairs], [g for _, g, _ in pairs]
        )
    judged = [
        (answer, gold, is_right, v) for (answer, gold, is_right), v in zip(pairs, verdicts, strict=True)
    ]
    assert [pair for pair in judged if not pair[2] and pair[3] == "right"] == []
    assert [pair for pair in judged if pair[2] and pair[3] != "right"] == []
