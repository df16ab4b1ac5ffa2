"""CSV, JSONL and e-mail; dates, tags and titles as files state them."""

from __future__ import annotations

from datetime import date
from email.message import EmailMessage
from pathlib import Path

import pytest
from test_documents import blocks, read, refusal

from broken import PNG, workbook
from fieldpack_build.documents.dates import iso_date
from fieldpack_build.documents.titles import says_something, words_of
from fieldpack_build.documents.vocabulary import read_vocabulary

# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_of_any_delimiter(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["Fund", "Fee, in %", "Note"],
        ["CGEF", '"0,75"', '"two\nlines"'],
        ["CGBF", '"0,40"', ""],
    ]
    rows[0][1] = '"Fee, in %"'
    text = "\n".join(delimiter.join(row) for row in rows)
    assert blocks(read(tmp_path, "fees.csv", text)) == [
        ("table", (), "Fund | Fee, in % | Note\nCGEF | 0,75 | two lines\nCGBF | 0,40 |"),
    ]


def test_csv_of_a_report(tmp_path: Path) -> None:
    """A title line, a sum after an empty line, and a second table with names of its own."""
    text = "Sales by region\nRegion,2023,2024\nNorth,5,6\n\nTotal,5,6\n\nOffice,City\nHead,Graz\n"
    assert blocks(read(tmp_path, "sales.csv", text)) == [
        ("table", ("Sales by region",), "Region | 2023 | 2024\nNorth | 5 | 6\nTotal | 5 | 6"),
        ("table", (), "Office | City\nHead | Graz"),
    ]


def test_csv_with_a_title_apart_from_its_table(tmp_path: Path) -> None:
    text = "March 2023\n\nSite,Volume\nChiswick,5\n\nSource: the operator\n\nSite,Volume\nGrove,6\n"
    assert blocks(read(tmp_path, "sites.csv", text)) == [
        ("table", ("March 2023",), "Site | Volume\nChiswick | 5"),
        ("text", ("March 2023",), "Source: the operator"),
        ("table", (), "Site | Volume\nGrove | 6"),
    ]


def test_csv_with_sep_line_in_utf_16(tmp_path: Path) -> None:
    data = "sep=;\nName;Ort\nZoë;Köln\n".encode("utf-16-le")
    assert blocks(read(tmp_path, "a.csv", data)) == [("table", (), "Name | Ort\nZoë | Köln")]


def test_tsv_with_commas(tmp_path: Path) -> None:
    assert blocks(read(tmp_path, "a.tsv", "a,b\tc\n1,2\t3\n"))[0][2] == "a,b | c\n1,2 | 3"


def test_csv_with_an_open_quotation_mark(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.csv", 'a,b\n"' + "1,2\n" * 50_000).endswith(
        "is a quotation mark left open?"
    )


# JSONL


def test_jsonl(tmp_path: Path) -> None:
    lines = """{"Title": "Leave", "text": "Thirty days.\\n\\nUnpaid after.", "author": "Ann", "tags": ["hr", "time"]}
{"question": "Why?", "answer": {"text": "Because.", "score": 0.5}, "none": null, "seen": true}

"loose"
{"title": "cut
"""
    document = read(tmp_path, "a.jsonl", lines)
    assert blocks(document) == [
        ("text", ("Leave",), "author: Ann\ntags: hr, time\nThirty days.\n\nUnpaid after."),
        ("text", (), "question: Why?\nanswer.text: Because.\nanswer.score: 0.5\nseen: true"),
        ("text", (), "loose"),
    ]
    assert document.warnings[0].startswith("1 of 4 lines are no JSON records; line 5: ")
    assert "nested too deeply" in refusal(tmp_path, "b.jsonl", "[" * 100_000)


# E-mail


def email(**parts: object) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = str(parts.get("subject", "Grüße aus Graz"))
    message["From"] = "Ann Müller <ann@example.org>"
    message["To"] = "bob@example.org"
    message["Date"] = "Wed, 31 Jan 2024 10:00:00 +0100"
    return message


def test_eml(tmp_path: Path) -> None:
    inner = email(subject="Old offer")
    inner.set_content("Ninety francs.")
    message = email()
    message.set_content("Dear Bob,\n\nsee the table.\n")
    message.add_alternative("<p>Dear Bob in HTML</p>", subtype="html")
    office = "vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    table = workbook([["Item", "Price"], ["Lamp", 12.5]], "Prices")
    message.add_attachment(table, "application", office, filename="Preise für 2024.xlsx")
    message.add_attachment(PNG, "image", "png", filename="logo.png")
    message.add_attachment(b"PK\x03\x04", "application", "zip", filename="broken.docx")
    message.add_attachment(inner)
    document = read(tmp_path, "a.eml", message.as_bytes())
    top = "Grüße aus Graz"
    names = "Preise für 2024.xlsx, logo.png, broken.docx, Old offer"
    headers = (
        "From: Ann Müller <ann@example.org>\nTo: bob@example.org\nDate: Wed, 31 Jan 2024 10:00:00 "
        "+0100"
    )
    assert (document.title, document.date) == (top, "2024-01-31")
    assert blocks(document) == [
        ("text", (top,), f"{headers}\nAttachments: {names}"),
        ("text", (top,), "Dear Bob,"),
        ("text", (top,), "see the table."),
        ("table", ("Attachment: Preise für 2024.xlsx", "Prices"), "Item | Price\nLamp | 12.5"),
        ("text", ("Attachment: Old offer", "Old offer"), headers),
        ("text", ("Attachment: Old offer", "Old offer"), "Ninety francs."),
    ]
    assert [page.number for page in document.pages] == [1, 2, 3]
    assert [warning.split(":")[0] for warning in document.warnings[:1]] == [
        "attachment broken.docx"
    ]
    assert document.warnings[1:] == ("not read: 1 attached picture (logo.png)",)


def test_eml_whose_plain_text_is_a_stub(tmp_path: Path) -> None:
    message = email(subject="Crane")
    message.set_content("This message needs an HTML viewer.")
    message.add_alternative(
        "<style>p {}</style><p>The inspection moved to the ninth of June.</p>", subtype="html"
    )
    assert blocks(read(tmp_path, "a.eml", message.as_bytes()))[-1] == (
        "text",
        ("Crane",),
        "The inspection moved to the ninth of June.",
    )


def test_eml_with_an_invitation_and_unread_attachments(tmp_path: Path) -> None:
    message = email(subject="Meeting")
    message.set_content("See you.")
    lines = [
        "BEGIN:VCALENDAR",
        "BEGIN:VEVENT",
        "SUMMARY:Dry dock",
        "LOCATION:Room Gull\\, second floor",
        "DTSTART;TZID=Europe/Kyiv:20250612T090000",
        'ATTENDEE;CN="Ann; Müller";PARTSTAT=ACCEPTED:mailto:ann@exa',
        " mple.org",
        "BEGIN:VALARM",
        "DESCRIPTION:Reminder",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    message.add_alternative("\r\n".join(lines), subtype="calendar")
    message.add_attachment(b"\x78\x9f\x3e\x22", "application", "ms-tnef", filename="winmail.dat")
    message.add_attachment(b"\0\1", "application", "octet-stream", filename="plan.dwg")
    document = read(tmp_path, "a.eml", message.as_bytes())
    text = document.pages[0].text
    assert (
        "Event: Dry dock\nStart: 2025-06-12 09:00 Europe/Kyiv\nLocation: Room Gull, second floor\n"
        in text
    )
    assert "Attendee: Ann; Müller <ann@example.org>, accepted" in text and "See you." in text
    assert document.warnings[0].startswith(
        "attachment winmail.dat: not read: Outlook's own format (TNEF); have the"
    )
    assert document.warnings[1:] == (
        "not read: 1 attachment of a format without a reader (plan.dwg)",
    )


def test_a_calendar_file(tmp_path: Path) -> None:
    event = "BEGIN:VEVENT\nSUMMARY:{0}\nDTSTART;VALUE=DATE:20250612\nRRULE:FREQ=WEEKLY\nDESCRIPTION:a\\nb\nEND:VEVENT\n"
    document = read(
        tmp_path,
        "a.ics",
        f"BEGIN:VCALENDAR\n{event.format('Dock')}{event.format('Crane')}END:VCALENDAR\n",
    )
    lines = "Start: 2025-06-12\nRepeats: FREQ=WEEKLY\nDescription: a\nb"
    assert blocks(document) == [("text", ("Dock",), lines), ("text", ("Crane",), lines)]
    assert refusal(tmp_path, "b.ics", "hello") == "is no calendar, or one without an event"


def test_a_mailbox(tmp_path: Path) -> None:
    mails = []
    for subject in ("First", "Second"):
        message = email(subject=subject)
        message.set_content(f"{subject} text.\n\nFrom here on nothing.")
        mails.append(
            b"From ann@example.org Wed Jan 31 10:00:00 2024\n"
            + message.as_bytes().replace(b"\nFrom h", b"\n>From h")
        )
    document = read(tmp_path, "a.mbox", b"\n".join(mails))
    assert [page.number for page in document.pages] == [1, 2]
    assert blocks(document)[-2:] == [
        ("text", ("Second",), "Second text."),
        ("text", ("Second",), "From here on nothing."),
    ]
    assert refusal(tmp_path, "b.mbox", b"hello").startswith("is no mailbox")


def test_eml_in_html_alone(tmp_path: Path) -> None:
    message = email(subject="(no subject)")
    table = "<table><tr><td>Lamp</td><td>12</td></tr><tr><td>Bulb</td><td>3</td></tr></table>"
    message.set_content(f"<h2>Offer</h2>{table}", "html")
    document = read(tmp_path, "offer_of_may.eml", message.as_bytes())
    assert document.title == "offer of may"
    page = document.pages[0]
    assert blocks(document)[-1] == ("table", ("(no subject)", "Offer"), "Lamp | 12\nBulb | 3")
    assert page.number is None and "Offer" in page.text


def test_eml_with_headers_that_no_program_should_write(tmp_path: Path) -> None:
    head = b"Subject: =?nonsense?b?Zm9v?= \xe4 =?utf-8?q?caf=C3=A9?=\nDate: 99 Foo 99999 99:99:99 +999999999999\n"
    body = (
        b"Content-Type: text/plain; charset=none-such\nContent-Transfer-Encoding: 8bit\n\ncaf\xe9\n"
    )
    document = read(tmp_path, "a.eml", head + body)
    assert document.date is None
    assert blocks(document)[-1][2] == "café"


# Dates, tags, titles


def test_front_matter(tmp_path: Path) -> None:
    dates = "date: 2023-05-01 # first\nupdated: 31 January 2024"
    text = f"---\ntitle: 'Fees'  \n{dates}\ntags:\n  - fees\n  - \"funds, all\"\n---\nText\n"
    document = read(tmp_path, "a.md", text)
    assert (document.title, document.date, document.tags) == (
        "Fees",
        "2024-01-31",
        ("fees", "funds, all"),
    )
    assert read(tmp_path, "b.md", "---\ntags: [a, 'b']\nkeywords: b, c\n---\nText\n").tags == (
        "a",
        "b",
        "c",
    )
    assert read(tmp_path, "c.md", "---\nauthor: Ann\n---\nText\n").tags == ()


def test_html_meta(tmp_path: Path) -> None:
    head = (
        '<meta name="keywords" content="fees, funds"><meta property="article:published_time" '
        'content="2024-01-31T10:00Z">'
    )
    document = read(tmp_path, "a.html", f"<html><head>{head}</head><body><p>Text</p></body></html>")
    assert (document.date, document.tags) == ("2024-01-31", ("fees", "funds"))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31"),
        ("D:20240131101010+01'00'", "2024-01-31"),
        ("20240131", "2024-01-31"),
        ("2024/01/31", "2024-01-31"),
        ("Wed, 31 Jan 2024 10:00:00 +0100", "2024-01-31"),
        ("January 31st, 2024", "2024-01-31"),
        (date(2024, 1, 31), "2024-01-31"),
        ("01/02/2024", None),
        ("2024-13-01", None),
        ("1601-01-01", None),
        ("", None),
        (None, None),
        ("99 Foo 99999999999 9:99", None),
    ],
)
def test_dates(stated: str | date | None, expected: str | None) -> None:
    assert iso_date(stated) == expected


@pytest.mark.parametrize(
    "title",
    [
        "",
        "(anonymous)",
        "Microsoft Word – x.doc",
        "Microsoft Office Word - x",
        "UNITED STATES",
        "Table of Contents",
        "Microsoft Word - draft3.doc",
        "PowerPoint-Präsentation",
        "Slide 1",
        "Untitled",
        "UNITED STATES SECURITIES AND EXCHANGE COMMISSION",
        "10-K",
        "FORM 10-K",
        "C:\\files\\letter.docx",
        "Document1",
        "- 3 -",
    ],
)
def test_titles_that_say_nothing(title: str) -> None:
    assert not says_something(title, read_vocabulary())


@pytest.mark.parametrize(
    "title",
    [
        "Fees of 2024",
        "Annual Report 2024",
        "Company 3M",
        "Word-processing",
        "Index funds explained",
    ],
)
def test_titles_that_say_something(title: str) -> None:
    assert says_something(title, read_vocabulary())


def test_a_file_name_in_words() -> None:
    assert words_of("a/fund_guide-for-all_2024-01-31.md") == "fund guide for all 2024-01-31"
    assert words_of("3M_2018_10K.pdf") == "3M 2018 10K"
    assert words_of("___.md") == "___"


def test_a_calendar_that_cancels_says_so(tmp_path: Path) -> None:
    event = "BEGIN:VEVENT\nSUMMARY:Dock\nDTSTART:20250612T090000Z\nEND:VEVENT\n"
    calendar = f"BEGIN:VCALENDAR\nMETHOD:CANCEL\n{event}END:VCALENDAR\n"
    assert blocks(read(tmp_path, "a.ics", calendar))[0][2] == (
        "Status: CANCELLED\nStart: 2025-06-12 09:00 UTC"
    )


def test_struck_text_and_comments_of_markdown(tmp_path: Path) -> None:
    text = """Now ~~old 70~~ 80 euros<!-- ask Eve --> a month, <del class="x">not 60</del> in `~~code~~`.

```
~~kept~~ <!-- kept -->
```

Between a ~~ and b ~~ nothing is struck. <s>open
"""
    document = read(tmp_path, "a.md", text)
    assert [words for _, _, words in blocks(document)] == [
        "Now  80 euros a month,  in `~~code~~`.",
        "```\n~~kept~~ <!-- kept -->\n```",
        "Between a ~~ and b ~~ nothing is struck. <s>open",
    ]
    assert document.warnings == (
        "not read: 4 words of struck-out text",
        "not read: 2 words of comments",
    )


def test_a_calendar_line_of_commas_takes_no_time(tmp_path: Path) -> None:
    line = f"DTSTART;X={',' * 5000}"
    event = f'BEGIN:VEVENT\nSUMMARY:Dock\n{line}\nLOCATION;A=b,"c:d":Gull\nEND:VEVENT\n'
    document = read(tmp_path, "a.ics", f"BEGIN:VCALENDAR\n{event}END:VCALENDAR\n")
    assert [text for _, _, text in blocks(document)] == ["Location: Gull"]
