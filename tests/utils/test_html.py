"""HTML for notebooks: nothing of a name becomes markup, and tables end."""

from markupsafe import Markup

from tlkit.utils.html import MAX_ROWS_SHOWN, html_bar, html_card, html_facts, html_table, html_text

AWKWARD = "<script>alert(1)</script> & \"x\" 'y' \x1b[31m \u202e"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;x&#34; &#39;y&#39; \\x1b[31m \\u202e"


def test_html_text_escapes_markup_and_control_characters_once():
    assert html_text(AWKWARD) == ESCAPED
    assert html_text(html_text(AWKWARD)) == ESCAPED
    assert html_text("花 ü") == "花 ü"
    assert html_text(1200) == "1200"


def test_everything_escapes_what_it_is_given():
    for made in (
        html_card(AWKWARD, AWKWARD),
        html_table((AWKWARD,), [(AWKWARD,)]),
        html_facts([(AWKWARD, AWKWARD)]),
        html_bar(0.5, AWKWARD),
    ):
        assert "<script" not in made
        assert ESCAPED in made
    assert "<b>bold</b>" in html_card("title", Markup("<b>bold</b>"))


def test_html_table_counts_the_rows_that_it_leaves_out():
    made = html_table(("n",), [(number,) for number in range(MAX_ROWS_SHOWN + 1234)], "classes")
    assert made.count("<tr>") == MAX_ROWS_SHOWN + 1
    assert "and 1,234 more classes" in made
    assert "more" not in html_table(("n",), [(1,)] * MAX_ROWS_SHOWN)


def test_html_facts_leave_out_what_is_empty():
    made = html_facts([("a", ""), ("b", None), ("c", 0)])
    assert made.count("<tr>") == 1
    assert ">0<" in made


def test_html_bar_is_never_longer_than_its_scale():
    assert ["width:0.00em" in html_bar(-1), "width:8.00em" in html_bar(2), "width:2.00em" in html_bar(0.25)] == [
        True
    ] * 3
