<?php
/*
 * A chat on phlows.php: the four hooks, nothing else. To start it:
 *
 *     phlows sdk php > examples/php/phlows.php
 *     phlows host add chat.example.com examples/php/chat.php
 *     phlows serve
 *
 * It keeps nothing between two events, so `runtime = "resident"` suits it, too: one process then
 * answers many events, and none but the first waits for PHP to start.
 */

declare(strict_types=1);

require __DIR__ . '/phlows.php';

/** Right after the handshake. false would close the socket. */
function wsConnect(string $wsHost, string $wsToken, string $wsSocket): bool
{
    error_log("connect $wsSocket");     // the broker's log has it, with host and hook
    return true;
}

/** Only true lets a visitor in. A real app looks the token up in its own sessions. */
function wsAuth(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return userOf($wsToken) !== null;
}

/** Every later message; the keys of its JSON object are the named arguments. */
function wsReceive(string $wsHost, string $wsToken, string $wsSocket, mixed ...$data): void
{
    $type = $data['type'] ?? null;
    if ($type === 'ping') {
        wsCast(wsTarget: $wsSocket, pong: time());
    } elseif ($type === 'chat.send' && is_string($data['text'] ?? null)) {
        say(userOf($wsToken), $data['text'], $wsSocket);
    }
}

function wsClose(string $wsHost, string $wsToken, string $wsSocket): void
{
    error_log("close $wsSocket");
}

/** The others get it by a cast; its author, as the answer to this message, by apply(). */
function say(string $name, string $text, string $socket): void
{
    $line = '<li><b>' . htmlspecialchars($name) . '</b> ' . htmlspecialchars($text) . '</li>';
    wsCast(wsExcept: $socket, append: ['#messages' => $line]);
    apply(append: ['#messages' => $line], value: ['#text' => '']);
}

/** Whose token it is; null when it is nobody's. Here a token is "token of" and a name. */
function userOf(string $token): ?string
{
    return preg_match('/^token of (\w{1,30})$/Du', $token, $part) === 1 ? $part[1] : null;
}

phlows_run();
