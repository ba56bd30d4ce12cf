"""A chat that knows how many are in it.

The broker calls a function of this file for each thing that happens to a
connection. Every one of them is told the host, the visitor's token and the id
of the socket; what it is to remember belongs into a file or a database, not
into variables: there may be several processes of this file.
"""

from html import escape

from phlows_cli.app import apply, run, ws_cast, ws_count


def ws_auth(ws_host, ws_token, ws_socket):
    """A visitor wants in: only True opens the door.

    Here the token is the name that was typed. A real app looks up whose token
    it is, in its sessions for example.
    """
    return 0 < len(ws_token.strip()) <= 30


def ws_receive(ws_host, ws_token, ws_socket, **message):
    """A visitor sent a message: what its JSON has as keys are the keywords."""
    if message.get("type") == "join":
        tell_count()
    if message.get("type") == "say":
        say(ws_token, message.get("text"))


def ws_close(ws_host, ws_token, ws_socket):
    """A visitor is gone, whatever the reason."""
    tell_count()


def say(name, text):
    """Show a message to everyone, and clear the field of its author."""
    if not isinstance(text, str) or not text.strip():
        return
    # What people type is escaped here, since the page puts it in as HTML.
    line = f"<li><b>{escape(name)}</b> {escape(text[:500])}</li>"
    ws_cast("all", append={"#messages": line})  # to everyone
    apply(value={"#text": ""})  # to the one who sent this


def tell_count():
    """Tell everyone how many are here."""
    ws_cast("all", inner={"#count": str(ws_count() or 0)})


run()
