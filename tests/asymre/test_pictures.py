"""Problems that need a picture which their text does not hold."""

import pytest

from asymre.datasets.pictures import lacks_picture

LACKING = [
    "In the figure, $ABCD$ is a square. Find $x$.",
    "As shown in the figure, $AB = 3$ and $$x = 2$$",
    "In the following diagram, lines $l$ and $m$ are parallel.",
    "What is the perimeter of the polygon in the picture?",
    "The graph of $y = f(x)$ is shown below. Find $f(2)$.",
    "The diagram shows a rectangle.",
    "In triangle $ABC$ (see Figure 2), $AB = AC$.",
    "A circle is inscribed, as shown. Find its radius.",
    "The accompanying figure has an area of 8.",
    "What is the area of the shaded region?",
    "According to the table below, how many fish were caught?",
    "The function $f$ is graphed below.",
    "What is $x$? ![](https://cdn.mathpix.com/cropped/1.jpg)",
    r"What is $x$? \includegraphics[width=3cm]{a.png}",
    'What is $x$? <img src="a.png">',
    "What is $x$? [asy] [/asy]",
    "Find the angle. [asy]",
    "In the sketch below, $AB = 1$.",
    # An image beside code is one more picture.
    "Find $x$ ![image](a.png) [asy] draw((0,0)--(1,1)); [/asy]",
]
WHOLE = [
    "In the figure, find $x$. [asy]\ndraw((0,0)--(1,1));\n[/asy]",
    "In the diagram, find $x$. [asy]/* AMC8 */ draw((0,0)--(1,1)); [/asy]",
    r"The figure shows a line. \begin{tikzpicture}\draw (0,0) -- (1,1);\end{tikzpicture}",
    "Can you figure out how many there are?",
    "Give the significant figures below 5, to three significant figures.",
    "How many three-figure numbers are there?",
    "When the figure is rotated by $90^\\circ$, where is $P$?",
    "Find the area of the figure bounded by $|x| + |y| = 1$.",
    "A skater draws a figure 8.",
    "In a Venn diagram, how many regions have three circles?",
    "Trilisa takes pictures of a 5-inch by 7-inch picture.",
    "The part of the graph below the $x$-axis has length 2.",
    "What is the image of the point $P$ under the reflection?",
    "A die is rolled. What is the probability that the number shown is even?",
    "It can be shown that $x$ is an integer. Find it.",
    r"The numbers are arranged as shown: \[1, 2, 3\]",
    r"The table below lists prices. \begin{tabular}{cc} a & 1 \end{tabular}",
    "The table below lists prices.\n| a | b |\n| 1 | 2 |",
    "The results are shown in the table. $$a = 1$$",
    "Which is the conic of the equation below? $x^2 = y$",
    "See https://example.org for the rules.",
]


@pytest.mark.parametrize("problem", LACKING)
def test_a_problem_without_its_picture(problem):
    assert lacks_picture(problem)


@pytest.mark.parametrize("problem", WHOLE)
def test_a_problem_that_is_whole(problem):
    assert not lacks_picture(problem)
