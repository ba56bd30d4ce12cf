<?php
/*
 * A chat that knows how many are in it.
 *
 * The broker calls a function of this file for each thing that happens to a connection. Every one
 * of them is told the host, the visitor's token and the id of the socket; what it is to remember
 * belongs into a file or a database, not into variables: there may be several processes of this file.
 */

declare(strict_types=1);

require __DIR__ . '/phlows.php';

/** A visitor wants in: only true opens the door. Here the token is the name that was typed; a real
 * app looks up whose token it is, in its sessions for example. */
function wsAuth(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return trim($wsToken) !== '' && strlen($wsToken) <= 90;
}

/** A visitor sent a message: what its JSON has as keys are the named arguments. */
function wsReceive(string $wsHost, string $wsToken, string $wsSocket, mixed ...$message): void
{
    $type = $message['type'] ?? null;
    if ($type === 'join') {
        tellCount();
    }
    if ($type === 'say') {
        say($wsToken, $message['text'] ?? null);
    }
}

/** A visitor is gone, whatever the reason. */
function wsClose(string $wsHost, string $wsToken, string $wsSocket): void
{
    tellCount();
}

/** Shows a message to everyone, and clears the field of its author. */
function say(string $name, mixed $text): void
{
    if (!is_string($text) || trim($text) === '') {
        return;
    }
    // What people type is escaped here, since the page puts it in as HTML.
    $line = '<li><b>' . htmlspecialchars($name) . '</b> ' . htmlspecialchars($text) . '</li>';
    wsCast(wsTarget: 'all', append: ['#messages' => $line]);    // to everyone
    apply(value: ['#text' => '']);                              // to the one who sent this
}

/** Tells everyone how many are here. */
function tellCount(): void
{
    wsCast(wsTarget: 'all', inner: ['#count' => (string) (wsCount() ?? 0)]);
}

phlows_run();
