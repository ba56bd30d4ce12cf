"""Bytes that are UTF-8 at its edges, and bytes that are not, each with a name."""

from __future__ import annotations


def each_byte(payload):
    return [payload[at : at + 1] for at in range(len(payload))]


VALID = {
    "two, three and four bytes a character": "zażółć, 東京 🌊".encode(),
    "the first character of two bytes": b"\xc2\x80",
    "the first character of three bytes": b"\xe0\xa0\x80",
    "the first character of four bytes": b"\xf0\x90\x80\x80",
    "the last character of one byte": b"\x7f",
    "the last character of two bytes": b"\xdf\xbf",
    "the last character of three bytes": b"\xef\xbf\xbf",
    "the last character of all": b"\xf4\x8f\xbf\xbf",
    "the character before the surrogates": b"\xed\x9f\xbf",
    "the character after the surrogates": b"\xee\x80\x80",
    "the replacement character": b"\xef\xbf\xbd",
    "a byte order mark within": b"\xef\xbb\xbf",
    "U+FFFE": b"\xef\xbf\xbe",
    "a combining accent": "e\u0301".encode(),
} | {
    f"U+{number:X}": chr(number).encode()
    for plane in range(1, 17)
    for number in (plane << 16 | 0xFFFE, plane << 16 | 0xFFFF)
    if number != 0x10FFFF
}
INVALID = {
    "the byte 80 alone": b"\x80",
    "the byte BF alone": b"\xbf",
    **{f"{n} continuation bytes": b"\x80\xbf\x80\xbf\x80\xbf\x80"[:n] for n in range(2, 8)},
    "every continuation byte": bytes(range(0x80, 0xC0)),
    "every start of two bytes, each before a blank": b" ".join(each_byte(bytes(range(0xC0, 0xE0)))),
    "every start of three, each before a blank": b" ".join(each_byte(bytes(range(0xE0, 0xF0)))),
    "every start of four, each before a blank": b" ".join(each_byte(bytes(range(0xF0, 0xF8)))),
    "every start of five, each before a blank": b" ".join(each_byte(bytes(range(0xF8, 0xFC)))),
    "every start of six, each before a blank": b" ".join(each_byte(bytes(range(0xFC, 0xFE)))),
    "two bytes without the last": b"\xc3",
    "three bytes without the last": b"\xe2\x82",
    "four bytes without the last": b"\xf0\x9f\x8c",
    "five bytes without the last": b"\xf8\x88\x80\x80",
    "six bytes without the last": b"\xfc\x84\x80\x80\x80",
    "unfinished characters in a row": b"\xc3\xe2\x82\xf0\x9f\x8c\xf8\x88\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "the last of five bytes": b"\xfb\xbf\xbf\xbf\xbf",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "the last of six bytes": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "the byte FE": b"\xfe",
    "the byte FF": b"\xff",
    "the bytes FE FE FF FF": b"\xfe\xfe\xff\xff",
    "a slash in two bytes": b"\xc0\xaf",
    "a slash in three bytes": b"\xe0\x80\xaf",
    "a slash in four bytes": b"\xf0\x80\x80\xaf",
    "a slash in five bytes": b"\xf8\x80\x80\x80\xaf",
    "a slash in six bytes": b"\xfc\x80\x80\x80\x80\xaf",
    "the longest overlong form of two bytes": b"\xc1\xbf",
    "the longest overlong form of three bytes": b"\xe0\x9f\xbf",
    "the longest overlong form of four bytes": b"\xf0\x8f\xbf\xbf",
    "the longest overlong form of five bytes": b"\xf8\x87\xbf\xbf\xbf",
    "the longest overlong form of six bytes": b"\xfc\x83\xbf\xbf\xbf\xbf",
    "NUL in two bytes": b"\xc0\x80",
    "NUL in three bytes": b"\xe0\x80\x80",
    "NUL in four bytes": b"\xf0\x80\x80\x80",
    "NUL in five bytes": b"\xf8\x80\x80\x80\x80",
    "NUL in six bytes": b"\xfc\x80\x80\x80\x80\x80",
    "the first past the last character": b"\xf4\x90\x80\x80",
    **{
        f"the surrogate {number:X}": chr(number).encode("utf-8", "surrogatepass")
        for number in (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF)
    },
    **{
        f"the surrogates {high:X} {low:X}": (chr(high) + chr(low)).encode("utf-8", "surrogatepass")
        for high in (0xD800, 0xDB7F, 0xDB80, 0xDBFF)
        for low in (0xDC00, 0xDFFF)
    },
}
