"""Markdown as models write it, and as they should not."""

from tests.corpora.models import MODELS

LETTER = """# Title here
Intro text with **bold** and `code` and [link](http://a.example/c "t") and *it*.
Here we go:
1. First step
   ```python
   def f(x):
       return x["a"] < 3
   ```
2. Second
   - nested *a*
   - nested b

3. Third  with two  spaces

Para after.  
Hard break, and a \\
backslash break.

Setext heading
--------------

| a | b |
|---|:-:|
| 1 | `x` |
| 22 | y z |
text after

```js title="x"
const a = `b`;
``
  ```
> quote one
> two
lazy

- [ ] todo
- [x] done

<div>raw
html</div>

***

foo[^1] &amp; &lt;b&gt; <b>x</b>

[^1]: note
    more

[ref]: http://x.example
see [ref] and [text][ref].
![img](http://i.example/x.png)
~~~
tilde
"""  # noqa: W291 (the two spaces are the hard break)

FORMULAS = """Euler: $e^{i\\pi}+1=0$, which costs $5 and $10, or $5-$10, in US$5)/(US$6).

\\[
a
= b
- c
\\]

Done \\(x_1 * y_2\\) and \\(x_1 * y_2\\), not `\\(code\\)`.

$$
\\frac{a}{b}
+ c
$$

\\begin{align} a &= b \\end{align}
- in a list: \\[ \\sqrt{x} \\]
- $$\\begin{cases} 1 & x \\\\ 2 & y \\end{cases}$$ and $unclosed
"""

CODE = """Look:

```python
def f(x):
    return f"{x:>3}" < '&amp;'

class A: ...
```

and

~~~~text
```
not the end
~~~
~~~~
```
no language
```
- item

  ```sh
  echo "hi"  
  ls -la | wc
    indented
  ```

- next

    indented code in list

      more

> ```
> quoted fence
> ```

   ```rust
   indented fence
  partly
   ```
\tindented code

``` not a fence ``` but code. And ``a ` b``.
```unclosed
last line
``
"""  # noqa: W291

LISTS = """Steps
1. **One**: do `a`, then (b) and "c"
2. **Two**: it's 50% done - or more; see [x](http://a.example/b_(c)) (really)
   still two
3. Three

   a paragraph in three

   - deep
     - deeper
       1. deepest

         code?
4) other delimiter
- a
* b
+ c
- - nested at once
- # heading in item
- > quote in item
-
- empty before

10. ten
11. eleven

Not a list: 1986. A year.
2. lazily
"""

TABLES = """| Name | Value | Note |
|:-----|------:|:----:|
| alpha | 1 | first one |
| beta | 2 |
| gamma | 3 | third | too many |
| `a|b` | \\| | [l](http://a.example) |
||| last
alone
- | - not a table

a | b
--|--
1 | 2
x
y | z | w

| one |
|-----|
| cell
| other words

> | q | r |
> |---|---|
> | in | quote |

- | s | t |
  |---|---|
  | in | list |
"""

PROSE = """It doesn't matter, he said: "Nothing (at all) matters!" Well - perhaps. 3.14 is 22/7, and 100% of 5 + 5 = 10?
A second line, * with a star, _under score_, snake_case_name, 2 * 3 * 4 and a**b**c.

A paragraph. With `code`, *emphasis*, **strong *both* strong**, ~~gone~~, <http://auto.example/x?y=1&z=2>
and a@b.example.
An entity &copy; &#169; &notreal; & alone, a < b > c, <b>tag</b>, </p>, <!-- comment -->,
<?php ?> and \\*escapes\\* \\\\.

[foo]: /url 'title'

[bar]: <http://bar.example>
'multi
line'

[foo] and [bar] and [baz][bar]. Words [in brackets] too: [like this](not a link, because of spaces).

[late] binding

[late]: http://late.example

Note[^a] and again[^a] and[^missing].

[^a]: The note, with *markup*

    and a second paragraph.

Cafe\u0301 \u2014 \u201cquoted\u201d \u2026
\u4f60\u597d\uff0c\u4e16\u754c\u3002\u8fd9\u662f *\u5f3a\u8c03* \u6587\u672c\u3002
\U0001f389 party\u00a0time \u0661. x
"""

RAW_HTML = """<div class="x">
*not emphasis?*

*emphasis*
</div>

text <br> more <span style="color:red">red</span> and <details><summary>s</summary>

<!-- a comment

over blank lines -->
after

<script>
let a = 1;

let b = 2;
</script>
<pre>
  kept

</pre>
<think>
hm
</think>
The end </div>
<img
"""

ODD = """\n\n  \n#no heading
####### seven
#
# closing # ##
Foo
===
Foo
bar
---
---
* * *
_ _ _
- ---
    code at once
\ttab

>quote
no lazy?
> - list in quote
>   more

>> deep
> less

\\
&
`
*
**
[
![
<
|
~~~

in tilde

~~~x
$
$$
\r\nreturns\r\nof a typewriter\r\n\r\nand\rold ones\r
x"""

DOCUMENTS: dict[str, str] = {
    "letter": LETTER,
    "formulas": FORMULAS,
    "code": CODE,
    "lists": LISTS,
    "tables": TABLES,
    "prose": PROSE,
    "raw_html": RAW_HTML,
    "odd": ODD,
    **MODELS,
}
