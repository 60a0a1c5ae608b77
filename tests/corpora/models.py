"""What models rely on beside Markdown: prices, scripts without spaces, HTML, bare addresses, LaTeX of every kind."""

DOLLARS = r"""It costs **$5** and **$10**, or *$3*, ~~$4~~, [$5](http://a.example/$6) and [$7](http://b.example).
Set $HOME and $PATH, or ${A}/${B}, $(pwd)/$(date), "$@" and "$#", $1,$2; `echo $HOME` and `$PATH`.
From $5-$10 to $1,000–$2,000; US$5/US$6; A ($$), B ($$$), C is $$ to $$$. In 5$ and 6$.
Match ^foo$|^bar$ or \d+$|\w+$. But $x$ is the $n$th, all $x_i$s, 30$^\circ$, 设$x$为$y$，**$z$**.

| a | b |
|---|---|
| $5 | $6 to $7 |
| **$5** | $x_1$ and $5 |

- $1 for one
- $2 for **two, $3** for three $
"""

SCRIPTS = """これは**「引用」**です。**重要**です。**「強調」**は、*《書名》*の~~（削除）~~話。
中文**"引号"**中文，**注意：**请看**（一）**和*《书》*。***非常***好，**$5**元
**굵게(bold)**는 그리고 **"인용"**은 *(기울임)*이다.
**คำ(x)**ครับ และ*"คำ"*นะ

- **項目：**説明
- **「項目」**の説明 https://a.example/b。次
"""

HTML = """H<sub>2</sub>O, E = mc<sup>2</sup>, <kbd>Ctrl</kbd>+<kbd>C</kbd>, <mark>seen</mark>, <u>a *b*</u>.<br>
Next<br/>line<BR />end. The <u> tag and </sub> alone, *<u>a*</u>, <u>x <sub>y</u></sub>, <b>bold</b>, <u class="x">no</u>

| a<br>b | <sub>1</sub> |
|---|---|
| c<br>d<br/>e | <kbd>x |
| y</kbd> | `<br>` |

<br>
**after a tag alone**

<u>
- a

- <br>
  b
</u>

<details>
<summary>More **words** & code `x`</summary>
First line
- a
- b

```py
</details>
```

<details><summary>Inner</summary>

> quote

</details>

Last
</details>
behind
<details><summary>One line</summary>all of it</details> and on

- a <details>
- <summary>b</summary>

```
<details>
```
<details>
never closed

- list
"""

ADDRESSES = """See https://en.wikipedia.org/wiki/Foo_(bar)). (See https://en.wikipedia.org/wiki/Foo_(bar).) 见https://a.example/b。后
**https://a.example/x** *https://a.example/y_z_*, "https://a.example", 'http://localhost:8080/?a=1&b=2'. www.a.example/b, end
`https://c.example` <https://d.example> [https://e.example](https://e.example) [f](https://f.example/_g_) $\\text{https://g.example}$
https://a.example/_x_/y_z*w* https://a.example/?q=*&r=~x~&amp;s, https://a.example.html https:// www. xhttps://b.example
https://a.example/日本 https://日本.example https://a.example/é|x

| https://a.example/a | www.b.example |
|---|---|
| https://c.example/x|y | https://d.example. |

- https://a.example
  https://b.example/c-d
> https://c.example

```
https://in.code.example
```
[g]: https://g.example
"""

LATEX = r"""\begin{align}
a &= b \\
- c &= d \tag{1} \label{x}
\end{align}

By \(\eqref{x}\): $\ce{2H2 + O2 -> 2H2O}$, $\unknown{x} + y$, $\text{num_heads & \unknown}$, $50\%$, $a &= b \\ c$.
$$x = 1 \tag{2}$$ and $f(x) = a_0 + a_1 x + a_2 x^2 + a_3 x^3 + a_4 x^4 + a_5 x^5 + a_6 x^6$ end
\begin{equation*} x \end{equation*} then $\begin{pmatrix} 1 & 2 \end{pmatrix}$ and \begin{cases} 1 \\ 2 \end{cases}

- \begin{gather} a \\ b \end{gather}

> \begin{align*} a &= b \end{align*}

`\begin{align} a \end{align}`

\begin{align}
never closed

next
"""

POEM = """The rose is red,
the violet blue,
   *honey* is sweet
and so are you.

> In a quote
> two lines

- An item
  of two lines
1 Main Street
12345 Town

שלום *עולם*
Hello

- مرحبا
- `code` مرحبا
"""

MODELS: dict[str, str] = {
    "dollars": DOLLARS,
    "scripts": SCRIPTS,
    "html": HTML,
    "addresses": ADDRESSES,
    "latex": LATEX,
    "poem": POEM,
}

#: Pieces of which a text may be put together that nobody would write.
MARKS: list[str] = [
    *(
        "a",
        "word",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n    ",
        "- ",
        "1. ",
        "> ",
        "# ",
        "```",
        "~~~",
        "`",
        "*",
        "**",
        "_",
        "[",
        "](",
        ")",
        "]: ",
        "[^1]",
        "<b>",
        "</b>",
        "<!--",
        "-->",
        "|",
        "\n|-|-|\n",
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "&amp;",
        "&",
        ";",
        "\\",
        "!",
        "~~",
        "---",
        "===",
        ":",
        '"',
        "'",
        "http://a.example",
        "www.b.example",
        "<br>",
        "<u>",
        "</u>",
        "\n<details>",
        "<summary>",
        "</summary>",
        "</details>",
        "\\begin{align}",
        "\\end{align}",
        "\r",
        "\t",
        "\xe9",
        "\u3002",
        "**\u300c",
    ),
]
