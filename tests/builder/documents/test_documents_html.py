"""HTML: what is left out and counted, where the content stands, tables with merged cells, lists
with numbers of their own."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from test_documents import blocks, read, refusal

from fieldpack_build.documents import MAX_FILE_MB, read_document
from fieldpack_build.documents.merged import Cell, lay_out
from fieldpack_build.documents.web import html
from fieldpack_build.documents.web.tree import Element, parse
from fieldpack_build.ingest.worker import MEMORY, MEMORY_A_BYTE

TraceFunction = Callable[[FrameType, str, Any], Any]


def test_struck_and_hidden_text_is_left_out_and_counted(tmp_path: Path) -> None:
    page = """<h1>Fees</h1><p>Now <del>old 70</del> <s>older 60</s> <span style="text-decoration: line-through">60</span>
    <ins>new 80</ins>.</p><p hidden>secret one</p><p style="display: none">secret two</p><p aria-hidden="true">three</p>
    <p>Shown.</p>"""
    document = read(tmp_path, "a.html", page)
    assert [text for _, _, text in blocks(document)] == ["Now new 80.", "Shown."]
    assert document.warnings == (
        "not read: 5 words of struck-out text",
        "not read: 5 words of hidden elements; knowledge.hidden: read reads it",
    )
    opened = read_document(tmp_path / "a.html", "a.html", hidden=True)
    assert [text for _, _, text in blocks(opened)] == [
        "Now new 80.",
        "secret one",
        "secret two",
        "three",
        "Shown.",
    ]
    assert opened.warnings == ("not read: 5 words of struck-out text",)


def test_the_site_around_the_content_is_counted(tmp_path: Path) -> None:
    page = (
        "<body><nav>Home Shop</nav><main><p>The gate closes at ten in the "
        "evening.</p><aside>Except in May.</aside></main>"
    )
    document = read(tmp_path, "a.html", page + "<div>Cookies</div><footer>Imprint</footer></body>")
    assert [text for _, _, text in blocks(document)] == [
        "The gate closes at ten in the evening.",
        "Except in May.",
    ]
    assert document.warnings == (
        "not read: 4 words of the site around the content (nav, footer, outside of <main>)",
    )


def test_content_outside_of_main(tmp_path: Path) -> None:
    page = (
        "<main><p>An intro.</p></main><section><h2>Hours</h2><p>The museum opens at eleven on "
        "Sundays.</p></section>"
    )
    document = read(tmp_path, "a.html", page)
    assert blocks(document) == [
        ("text", (), "An intro."),
        ("text", ("Hours",), "The museum opens at eleven on Sundays."),
    ]
    assert document.warnings == ()


def test_heads_over_several_columns_stand_over_each(tmp_path: Path) -> None:
    page = """<table><tr><th colspan=5>Fares of 2024</th></tr>
    <tr><th rowspan=2>Line</th><th colspan=2>Summer</th><th colspan=2>Winter</th></tr>
    <tr><th>Adult</th><th>Child</th><th>Adult</th><th>Child</th></tr>
    <tr><td rowspan=2>Island</td><td>12</td><td>6</td><td>9</td><td>4</td></tr>
    <tr><td>14</td><td>7</td><td colspan=2>none</td></tr></table>"""
    names = "Line | Summer Adult | Summer Child | Winter Adult | Winter Child"
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", (), "Fares of 2024"),
        ("table", (), f"{names}\nIsland | 12 | 6 | 9 | 4\nIsland | 14 | 7 | none |"),
    ]


def test_a_head_in_plain_cells_is_known_by_what_it_holds(tmp_path: Path) -> None:
    head = "<tr><td></td><td colspan=2>2023</td><td colspan=2>2024</td></tr>"
    names = "<tr><td>Ward</td><td>Beds</td><td>Nurses</td><td>Beds</td><td>Nurses</td></tr>"
    row = "<tr><td>Burns</td><td>6</td><td>14</td><td>8</td><td>17</td></tr>"
    assert blocks(read(tmp_path, "a.html", f"<table>{head}{names}{row}</table>"))[0][2] == (
        "Ward | 2023 Beds | 2023 Nurses | 2024 Beds | 2024 Nurses\nBurns | 6 | 14 | 8 | 17"
    )


def test_numbers_of_lists(tmp_path: Path) -> None:
    page = (
        "<ol start=4 type=a><li>four<li value=9>nine<ol type=i><li>in</ol></ol><ol "
        "reversed><li>two<li>one</ol>"
    )
    assert [text for _, _, text in blocks(read(tmp_path, "a.html", page))] == [
        "d. four\ni. nine\n  i. in",
        "2. two\n1. one",
    ]


def test_what_pictures_and_forms_say(tmp_path: Path) -> None:
    page = """<p>See <img src=x alt="Diagram of the flue"> and <img alt="photo.jpg"><img alt="">.</p><p>Length
    <input value="11.40 m"><input type=hidden value=secret> <input type=checkbox checked>ticked</p>
    <p><span>One<br>two</span> Ver&shy;sicherung</p>"""
    assert [text for _, _, text in blocks(read(tmp_path, "a.html", page))] == [
        "See [Diagram of the flue] and .",
        "Length 11.40 m ☒ ticked",
        "One\ntwo Versicherung",
    ]


def test_a_heading_without_words_ends_no_other(tmp_path: Path) -> None:
    document = read(
        tmp_path, "a.html", "<h1>Fees</h1><h2>Basic</h2><h1> <img></h1><p>70 euros.</p>"
    )
    assert blocks(document) == [("text", ("Fees", "Basic"), "70 euros.")]


def test_a_definition_keeps_its_paragraphs_code_and_tables(tmp_path: Path) -> None:
    page = """<h1>Pump</h1><dl><dt>start(pump)</dt><dd><p>Starts it.</p><pre>start(7)
stop(7)</pre><ul><li>quietly<li>at once</ul></dd>
    <dt>stop</dt><dd>Stops it.<table><tr><th>State<th>Code<tr><td>on<td>1</table>Then it is off.</dd></dl><p>End.</p>"""
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", ("Pump",), "start(pump)\nStarts it.\nstart(7)\nstop(7)\n- quietly\n- at once"),
        ("text", ("Pump",), "stop\nStops it."),
        ("table", ("Pump",), "State | Code\non | 1"),
        ("text", ("Pump",), "Then it is off."),
        ("text", ("Pump",), "End."),
    ]


def test_definitions_in_each_other_are_read_once_under_their_term(tmp_path: Path) -> None:
    page = """<h2>API</h2><dl><dt>class Valve</dt><dd><p>A valve.</p><dl><dt>open()</dt><dd>Opens it.</dd>
    <div><dt>shut()</dt><dd>Shuts it.</dd></div></dl><p>Not for steam.</p></dd><dt>class Tap</dt><dd>A tap.</dd></dl>"""
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", ("API", "class Valve"), "class Valve\nA valve."),
        ("text", ("API", "class Valve"), "open()\nOpens it."),
        ("text", ("API", "class Valve"), "shut()\nShuts it."),
        ("text", ("API", "class Valve"), "Not for steam."),
        ("text", ("API",), "class Tap\nA tap."),
    ]


def test_a_long_definition_is_a_section_under_its_term(tmp_path: Path) -> None:
    page = f"<h1>Settings</h1><dl><dt>pressure</dt><dd><p>{'Bar above all. ' * 80}</p></dd></dl><p>End."
    first, last = blocks(read(tmp_path, "a.html", page))
    assert first[1] == ("Settings", "pressure") and first[2].startswith("pressure\nBar above")
    assert last == ("text", ("Settings",), "End.")


def test_code_and_tables_in_a_list_stay_what_they_are(tmp_path: Path) -> None:
    page = """<ol><li>Write this:<pre>if x:
    y()</pre>and save.<li>Look at<table><tr><th>Lamp<th>Means<tr><td>red<td>fault</table></ol>"""
    assert blocks(read(tmp_path, "a.html", page)) == [
        ("text", (), "1. Write this:\nif x:\n    y()\nand save."),
        ("text", (), "2. Look at"),
        ("table", (), "Lamp | Means\nred | fault"),
    ]


def test_navigation_of_manuals_without_nav_elements(tmp_path: Path) -> None:
    page = """<div class="navheader"><table><tr><th colspan=3>7. Valves</th></tr><tr><td>Prev<td>Chapter 7<td>Next
    </table></div><div role="navigation"><a href=i>index</a></div><h1 id=v>Valves<a class=headerlink href="#v">¶</a></h1>
    <p class="navigation">Navigation by stars needs a clear <a href=s>sky</a>.</p><ul class=breadcrumb><li><a href=h>Home</a>
    </ul><p>See <a href="#t">table 2</a>.</p>"""
    document = read(tmp_path, "a.html", page)
    assert [text for _, _, text in blocks(document)] == [
        "Navigation by stars needs a clear sky.",
        "See table 2.",
    ]
    assert document.title == "Valves"
    assert document.warnings == (
        "not read: 8 words of the site around the content (navheader, navigation, breadcrumb)",
    )


def test_what_a_style_sheet_in_the_page_hides_strikes_and_raises(tmp_path: Path) -> None:
    page = """<style>/* .seen {display: none} */ .gone, p.off { DISPLAY: none !important }
    @media print { .seen {display: none} }
    #old { text-decoration: line-through } .mark { vertical-align: super; font-size: 60% } ul li.deep {display:none}</style>
    <p class="x gone">secret</p><p class=off>also secret</p><div class=off>shown one</div><p id=old>70 euros</p>
    <p class=seen>482<span class=mark>1</span> lamps</p><p class=gone style="display: block">shown two</p>"""
    document = read(tmp_path, "a.html", page)
    assert [text for _, _, text in blocks(document)] == ["shown one", "482¹ lamps", "shown two"]
    assert document.warnings == (
        "not read: 3 words of hidden elements; knowledge.hidden: read reads it",
        "not read: 2 words of struck-out text",
    )


def test_of_a_list_to_choose_from_the_choice_is_read(tmp_path: Path) -> None:
    page = "<p>Berth <select><option>28<option selected>31</select></p><dialog>Log in</dialog>"
    document = read(tmp_path, "a.html", page)
    assert [text for _, _, text in blocks(document)] == ["Berth 31"]
    assert document.warnings == (
        "not read: 1 word of the site around the content (select)",
        "not read: 2 words of hidden elements; knowledge.hidden: read reads it",
    )


def test_a_row_span_to_the_end_and_a_foot_before_the_body(tmp_path: Path) -> None:
    page = """<table><thead><tr><th>Line<th>Mo<th>Tu</thead><tfoot><tr><td>All<td>9<td>9</tfoot><tbody><tr>
    <td rowspan=0>Blue<td>1<td>2<tr><td>3<td>4</tbody></table>"""
    assert blocks(read(tmp_path, "a.html", page))[0][2] == (
        "Line | Mo | Tu\nBlue | 1 | 2\nBlue | 3 | 4\nAll | 9 | 9"
    )


def test_text_raised_by_a_length(tmp_path: Path) -> None:
    page = (
        '<p>482<span style="vertical-align: 4px">1</span> of 10<i style="vertical-align:-2px">2</i>'
    )
    page += ' <b style="vertical-align: 0px">3</b>'
    assert blocks(read(tmp_path, "a.html", page))[0][2] == "482¹ of 10₂ 3"


def test_a_page_of_many_elements_takes_work_in_proportion() -> None:
    """A page twice as long took four times as long, by a property of the parser's tags. Calls are
    counted, as time says nothing on a busy machine."""

    def calls(count: int) -> int:
        page = ("<div><p>One <b>two</b> three.</p></div>" * count).encode()
        made = 0

        def note(frame: object, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            html.read(page, "a.html")
        finally:
            sys.setprofile(before)
        return made

    calls(10)  # what is made once
    assert calls(1000) < 5 * calls(250)


def test_elements_nested_without_end_are_refused_at_once(tmp_path: Path) -> None:
    for element in ("<div>", "<ul><li>a", "<dl><dt>a<dd>b"):
        assert "nested too deeply" in refusal(tmp_path, "a.html", element * 5000 + "text")


def test_merged_cells_that_ask_for_millions_of_places_lose_no_text() -> None:
    rows = [[Cell(f"cell {at}", rows=1000, columns=1000)] for at in range(300)]
    table = lay_out(rows)
    places = [text for row in table.rows for text in row]
    assert {f"cell {at}" for at in range(300)} <= set(places)
    assert len(places) < 2_000_000  # 45 million, were each label repeated


def test_leaving_out_many_elements_of_one_parent_takes_work_in_proportion() -> None:
    """The parser's tags look for a child among all of its parent's: lines that run are counted."""

    def lines(count: int) -> int:
        page = f"<p>{'<s>old</s> new ' * count}</p>".encode()
        ran = 0

        def note(frame: FrameType, event: str, argument: object) -> TraceFunction:
            nonlocal ran
            ran += event == "line"
            return note

        before = sys.gettrace()
        sys.settrace(note)
        try:
            content = html.read(page, "a.html")
        finally:
            sys.settrace(before)
        assert content.pages[0].text.split() == ["new"] * count
        assert content.warnings == (f"not read: {count:,} words of struck-out text",)
        return ran

    lines(10)  # what is run once
    assert lines(4000) < 5 * lines(1000)


def test_text_between_many_elements_that_are_left_out_stays_as_it_is(tmp_path: Path) -> None:
    few, many = (
        read(tmp_path, f"{count}.html", "<p>a <a href='#a'>#</a>b<nav>menu</nav> c</p>" * count)
        for count in (400, 1500)
    )
    assert {text for _, _, text in blocks(few)} == {text for _, _, text in blocks(many)}


def test_a_page_whose_whole_text_is_left_out_says_what_was(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.html", "<p><del>old words</del></p>") == (
        "has no text (not read: 2 words of struck-out text)"
    )
    run = "a" * 500_000
    assert "has no text (not read: 1 embedded files" in refusal(tmp_path, "a.txt", run)


def _shape(element: Element) -> list[Any]:
    return [
        (child.name, child.attributes, _shape(child)) if isinstance(child, Element) else child
        for child in element.contents
    ]


def test_the_tree_of_a_page() -> None:
    """Elements that are left open end with what is around them, comments part strings, blanks count
    in <pre> alone, and scripts, sheets and attributes that nobody reads are not kept."""
    markup = parse(
        "<p class='a b' onclick='f()'>One <b>two<!-- c --> three</p><pre>  x\n</pre>  \n <br>"
        "<style>.a{}</style><script>if (a < b) {}</script><a href='#top' hidden>up</a>"
    )
    (body,) = markup.root.all("body")
    assert _shape(body) == [
        ("p", ("class", "a b"), ["One ", ("b", (), ["two", " three"])]),
        ("pre", (), ["  x\n"]),
        "\n",
        ("br", (), []),
        ("style", (), []),
        ("script", (), []),
        ("a", ("href", "#", "hidden", ""), ["up"]),
    ]
    assert markup.sheet == ".a{}"


def test_a_page_of_any_size_that_is_read_fits_into_the_memory_of_its_reader() -> None:
    """The largest file that a recipe allows by itself, of small cells with classes and styles."""
    row = '<tr class="row" id="row{0}"><td class="n"><b>{0}.50</b></td><td>BX-{0}</td></tr>\n'
    page = f"<table>{''.join(row.format(at) for at in range(4_000))}</table>".encode()
    html.read(page[:200], "a.html")  # imports
    tracemalloc.start()
    try:
        content = html.read(page, "a.html")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert content.pages[0].text.endswith("3999.50 | BX-3999")
    allowed = MEMORY_A_BYTE + MEMORY / (MAX_FILE_MB << 20)
    assert peak < allowed * len(page)


def test_a_head_of_two_rows_below_a_title() -> None:
    rows = [
        [Cell("Sales", columns=4)],
        [Cell("Item", rows=2), Cell("2024", columns=2), Cell("Note", rows=2)],
        [Cell("Q1"), Cell("Q2")],
        [Cell("Valves"), Cell("12"), Cell("15"), Cell("open")],
    ]
    table = lay_out(rows)
    assert table.title == "Sales"
    assert table.rows == [
        ["Item", "2024 Q1", "2024 Q2", "Note"],
        ["Valves", "12", "15", "open"],
    ]


def test_a_form_in_a_table_has_no_head(tmp_path: Path) -> None:
    """Its first field names no column: what stands below is not said of it."""
    forms = (
        "<table><tr><td>Fell out of bed<td>☒ yes ☐ no<tr><td>Medication<td>Zolpidem 5 mg</table>"
        "<table><tr><td>Date:<td>3 May<td>Time:<td>04:50<tr><td>Ward:<td>3B</table>"
        "<table><tr><td>Item:<td>Price:<tr><td>Valve<td>5</table>"
        "<table><tr><td>Assets:<td>2024<td>2023<tr><td>Cash<td>5<td>6</table>"
    )
    assert [(kind, text) for kind, _, text in blocks(read(tmp_path, "a.html", forms))] == [
        ("text", "Fell out of bed: ☒ yes ☐ no\nMedication: Zolpidem 5 mg"),
        ("text", "Date: 3 May; Time: 04:50\nWard: 3B"),
        ("table", "Item: | Price:\nValve | 5"),
        ("table", "Assets: | 2024 | 2023\nCash | 5 | 6"),
    ]


def test_menus_of_an_intranet_page_without_nav_elements(tmp_path: Path) -> None:
    page = (
        '<div id="breadcrumb"><a href="/">Home</a> > HR</div>'
        '<ul class="menu"><li><a href="/it">IT desk</a></li><li><a href="/hr">HR</a></li></ul>'
        '<div id="menu">Monday: soup and bread. <a href="/a">Allergens</a></div>'
    )
    document = read(tmp_path, "a.html", page)
    assert [text for _, _, text in blocks(document)] == ["Monday: soup and bread. Allergens"]
    assert document.warnings == (
        "not read: 6 words of the site around the content (breadcrumb, menu)",
    )
