"""phlows up to its sockets: each message goes back from the connection that it came on.

Server, frames and flow control are the real ones. Without the session's queue, the hook,
its journal and its metrics, this is what the layer below them takes by itself.
"""

from __future__ import annotations

from phlows_cli.__main__ import main
from phlows_cli.broker.session import Session
from phlows_cli.wire.frame import text_frame


def receive(self: Session, text: str) -> None:
    if not self.is_gone:
        self.peer.reply(text_frame(text.encode()))


Session.receive = receive
main()
