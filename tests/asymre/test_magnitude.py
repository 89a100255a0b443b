"""Answers with numbers of more than 4300 digits are found without computing them."""

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymre.datasets.magnitude import MOST_DIGITS, is_enormous

ENORMOUS = [
    r"10^{10^6}",
    r"10^{10^{6}}-1",
    r"$\frac{1}{10^{10^6}}$",
    r"\frac{10^{10^6}}{3}",
    r"10^{4300}",
    r"10^{-10^6}",
    r"2^{2^{2^{2^{2}}}}",
    r"7^{7^{7^7}}",
    "10^10^10",
    r"10^{10^{10^{10^{10}}}}",
    r"(10^6)!",
    r"((9!)!)!",
    r"\frac{1}{2004!}",
    r"\binom{10^6}{5000}",
    r"\left(1, 10^{10^6}\right)",
    r"\sqrt[3]{9^{9^{9}}}",
    r"\log_{10} 10^{10^6}",
    r"\lfloor 10^{10^6}/3 \rfloor",
    r"2^{10^6}\cdot 3^{5}",
    r"2^{8000}\cdot 3^{8000}",
    r"1.0000001^{10^9}",
    r"\prod_{k=1}^{10^5} k",
    "9" * 4301,
    # Hostile.
    "{" * 3000,
    "2^" * 3000 + "2",
]
ORDINARY = [
    "",
    "12",
    r"\frac{3}{4}",
    r"\frac{1}{2}\left(3^{2017}-1\right)",
    r"2^{2017}",
    "10^{4299}",
    "1000!",
    r"2^{50+60+70}",
    r"10^{\frac{9999}{10000}}",
    r"x^{10^6}",
    r"e^{10^6}",
    r"(-1)^{10^{100}}",
    r"1,000,000^{7}",
    r"\!5",
    r"5\!\cdot 10000",
    r"\binom{1000000}{5}",
    r"{1000000 \choose 5}",
    r"\text{No!}",
    "9" * 4300,
    "^",
    r"\frac",
    "}}!)",
]


@pytest.mark.parametrize("answer", ENORMOUS, ids=lambda answer: answer[:20])
def test_an_enormous_answer_is_found_at_once(answer):
    begin = time.perf_counter()
    assert is_enormous(answer)
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("answer", ORDINARY, ids=lambda answer: answer[:20])
def test_an_ordinary_answer_stays(answer):
    assert not is_enormous(answer)


def test_the_limit_is_that_of_python():
    assert sys.int_info.default_max_str_digits == MOST_DIGITS


@given(st.integers(2, 99), st.integers(2, 9000))
@settings(derandomize=True, deadline=None)
def test_the_digits_of_a_power_are_counted_right(base, exponent):
    assert is_enormous(f"{base}^{{{exponent}}}") == (base**exponent > 10**MOST_DIGITS)


@given(st.text(alphabet="0123456789{}()[]^_!/+-,.\\ x", max_size=60))
@settings(derandomize=True, deadline=None)
def test_no_text_is_an_error(text):
    assert is_enormous(text) in (True, False)
    assert is_enormous(rf"\frac{text}\binom{text}") in (True, False)
