<?php
/* A chat room with a count of who is there. It keeps nothing, so that every runtime suits it. */

require __DIR__ . '/phlows.php';

final class tasks
{
    public static function twice(int $number): int
    {
        return 2 * $number;
    }
}

function wsAuth($wsHost, $wsToken, $wsSocket): bool
{
    return user_of($wsToken) !== null;
}

function wsConnect($wsHost, $wsToken, $wsSocket): bool
{
    tell_the_count();
    return true;
}

function wsClose($wsHost, $wsToken, $wsSocket): void
{
    tell_the_count();
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data): void
{
    match ($data['type'] ?? null) {
        'ping' => wsCast(wsTarget: $wsSocket, pong: 1),
        'chat.send' => say(user_of($wsToken), $data['text'], $wsSocket),
        'lines' => array_map(static fn (int $line) => apply(line: $line), [1, 2, 3]),
        'exit' => leave(),
        'fail' => throw new DomainException('private'),
        default => apply(...$data),
    };
}

function tell_the_count(): void
{
    wsCast(inner: ['#online-count' => (string) wsCount()]);
}

function say(string $name, string $text, string $socket): void
{
    $line = "<p>$name " . htmlspecialchars($text) . '</p>';
    wsCast(wsExcept: $socket, append: ['#chat' => $line]);
    apply(append: ['#chat' => $line], value: ['#text' => '']);
}

function leave(): never
{
    apply(leaving: true);
    exit;
}

function user_of(string $token): ?string
{
    return preg_match('/^token of (\w+)$/D', $token, $part) === 1 ? $part[1] : null;
}

phlows_run();
