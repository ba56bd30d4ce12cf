<?php
/* The guide's chat (14.3) and presence (14.7) on the engine. ENGINE_STATE is the folder of who is online. */

declare(strict_types=1);

require __DIR__ . '/../engine.php';

const USERS = ['token of ann' => 'Ann', 'token of bob' => 'Bob'];

function wsConnect($wsHost, $wsToken, $wsSocket)
{
    presence::enter($wsSocket);
    wsCast(wsTarget: 'all', inner: ['#online-count' => presence::count()]);
    return true;
}

function wsAuth($wsHost, $wsToken, $wsSocket)
{
    $user = USERS[$wsToken] ?? null;
    if (!$user) {
        return false;
    }
    return true;
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{
    $type = $data['type'] ?? null;
    if ($type === 'ping') {
        return wsCast(wsTarget: $wsSocket, pong: time());
    }
    if ($type === 'chat.send') {
        chat::send($data['text'], from: USERS[$wsToken]);
    }
}

function wsClose($wsHost, $wsToken, $wsSocket)
{
    presence::leave($wsSocket);
    wsCast(wsTarget: 'all', inner: ['#online-count' => presence::count()]);
}

class chat
{
    public static function send(string $text, string $from): void
    {
        wsCast(chat: ['from' => $from, 'text' => $text]);
    }
}

/** A file for each socket: APCu, as in the guide, would be private to each process. */
class presence
{
    public static function enter(string $socket): void
    {
        touch(self::folder() . $socket);
    }

    public static function leave(string $socket): void
    {
        unlink(self::folder() . $socket);
    }

    public static function count(): int
    {
        return count(glob(self::folder() . '*'));
    }

    private static function folder(): string
    {
        return getenv('ENGINE_STATE') . '/presence:';
    }
}

phlo_app($argv);
