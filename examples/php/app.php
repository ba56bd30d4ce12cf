<?php
/*
 * A chat room that knows how many are in it, in plain PHP (8.1 or newer).
 *
 * The broker runs this file once for every event of a socket, as
 *
 *     php app.php ws::receive chat.example.com TOKEN 0123456789abcdef '{"type":"chat.send", ...}'
 *
 * and the last lines call the function that the event is for. To start it:
 *
 *     phlows host add chat.example.com examples/php/app.php
 *     phlows serve
 */

declare(strict_types=1);

ini_set('display_errors', 'stderr');   // what is printed on stdout is meant for the visitor

const LONGEST_NAME = 30;
const LONGEST_MESSAGE = 500;

/** Right after the handshake. false would close the socket. */
function wsConnect(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return true;
}

/**
 * Lets a visitor in, or not: only true does. Here the token is simply the name that the
 * visitor goes by, and anyone may go by any name. A real app looks it up in its own sessions.
 */
function wsAuth(string $wsHost, string $wsToken, string $wsSocket): bool
{
    return preg_match('/^[^\p{C}]{1,' . LONGEST_NAME . '}$/Du', $wsToken) === 1 && trim($wsToken) !== '';
}

/** Every later message; the keys of its JSON object are the named arguments. */
function wsReceive(string $wsHost, string $wsToken, string $wsSocket, mixed ...$data): void
{
    $type = $data['type'] ?? null;
    if ($type === 'ping') {
        wsCast(wsTarget: $wsSocket, pong: time());
    } elseif ($type === 'join') {
        announce("$wsToken is here");
    } elseif ($type === 'chat.send' && is_string($data['text'] ?? null)) {
        say($wsToken, $wsSocket, $data['text']);
    }
}

/** The socket is gone, so it is not counted any more. */
function wsClose(string $wsHost, string $wsToken, string $wsSocket): void
{
    announce($wsToken === '' ? '' : "$wsToken left");
}

function say(string $name, string $socket, string $text): void
{
    if (trim($text) === '') {
        return;
    }
    if (preg_match('/^.{1,' . LONGEST_MESSAGE . '}$/Dsu', $text) !== 1) {
        reply(['toast' => 'A message has at most ' . LONGEST_MESSAGE . ' characters.']);
        return;
    }
    // The others get it by a cast; its author, who sees it in another colour, as a reply.
    wsCast(wsExcept: $socket, append: ['#messages' => asHtml($name, $text, 'theirs')]);
    reply(['append' => ['#messages' => asHtml($name, $text, 'mine')]]);
}

/**
 * Tells everyone what happened, and how many are in the room now. The broker is asked for the
 * number: APCu would not do, since every event is a process of its own with an APCu of its own.
 * A socket counts once wsAuth let it in, so the page says "join" when it has connected.
 */
function announce(string $what): void
{
    $note = $what === '' ? '' : '<li class="note">' . htmlspecialchars($what) . '</li>';
    wsCast(inner: ['#online' => (string) wsCount()], append: ['#messages' => $note]);
}

/** Answers the visitor whose message this is: a printed line of JSON goes there. */
function reply(array $commands): void
{
    echo json_encode($commands, JSON_THROW_ON_ERROR), "\n";
}

/** What people typed is escaped, so it stays text. */
function asHtml(string $name, string $text, string $whose): string
{
    return sprintf(
        '<li class="%s"><b>%s</b> <span>%s</span></li>',
        $whose,
        htmlspecialchars($name),
        htmlspecialchars($text),
    );
}

/** Sends a message to open sockets; null when the broker is down. */
function wsCast(string|array $wsTarget = 'all', ?string $wsHost = null, string|array $wsExcept = '', mixed ...$data): ?array
{
    return askBroker('POST', '/message', [
        'host' => $wsHost ?? HOOK_HOST,
        'target' => $wsTarget,
        'except' => $wsExcept,
        'data' => $data,
    ]);
}

/** How many authenticated sockets this host has. */
function wsCount(): int
{
    return askBroker('GET', '/health')['hosts'][HOOK_HOST]['sockets'] ?? 0;
}

/** One request to the broker, whose address it put into PHLOWS_URL. */
function askBroker(string $method, string $path, ?array $body = null): ?array
{
    $key = getenv('PHLOWS_KEY');
    $headers = ['Content-Type: application/json', 'Connection: close'];
    $context = stream_context_create(['http' => [
        'method' => $method,
        'header' => $key ? [...$headers, "Authorization: Bearer $key"] : $headers,
        'content' => $body === null ? '' : json_encode($body, JSON_THROW_ON_ERROR),
        'timeout' => 3.0,
        'ignore_errors' => true,
    ]]);
    $answer = @file_get_contents((getenv('PHLOWS_URL') ?: 'http://127.0.0.1:3001') . $path, false, $context);
    $answer = $answer === false ? null : json_decode($answer, true);
    if (($answer['status'] ?? null) === 'error') {
        error_log("$path: {$answer['message']}");
    }
    return ($answer['status'] ?? null) === 'ok' ? $answer : null;
}

// From the command line to the function: connect and auth print true or false, the others nothing.
[, $command, $host, $token, $socket] = $argv + array_fill(0, 5, '');
define('HOOK_HOST', $host);
switch (substr((string) strrchr($command, ':'), 1)) {
    case 'connect':
        echo wsConnect($host, $token, $socket) ? 'true' : 'false', "\n";
        break;
    case 'auth':
        echo wsAuth($host, $token, $socket) ? 'true' : 'false', "\n";
        break;
    case 'receive':
        wsReceive($host, $token, $socket, ...json_decode($argv[5] ?? '', true, 512, JSON_THROW_ON_ERROR));
        break;
    case 'close':
        wsClose($host, $token, $socket);
        break;
    default:
        fwrite(STDERR, "usage: php app.php ws::<connect|auth|receive|close> host token socket [message]\n");
        exit(2);
}
