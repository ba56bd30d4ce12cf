<?php
/* The guide's chat (14.3) in plain PHP: four hooks, wsCast(), and a short dispatch at the end. */

declare(strict_types=1);

ini_set('display_errors', 'stderr');

const USERS = ['token of ann' => 'Ann', 'token of bob' => 'Bob'];

function wsConnect($wsHost, $wsToken, $wsSocket)
{
    fwrite(STDERR, "ws connect $wsSocket\n");
    return true;
}

function wsAuth($wsHost, $wsToken, $wsSocket)
{
    return isset(USERS[$wsToken]);
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{
    $type = $data['type'] ?? null;
    if ($type === 'ping') {
        return wsCast(wsTarget: $wsSocket, pong: time());
    }
    if ($type === 'chat.send') {
        return wsCast(chat: ['from' => USERS[$wsToken], 'text' => $data['text']]);
    }
    if ($type === 'whoami') { // printed, so it goes to this client alone
        echo json_encode(['name' => USERS[$wsToken], 'path' => 'a/b', 'accent' => "\u{e9}"]);
    }
}

function wsClose($wsHost, $wsToken, $wsSocket)
{
    fwrite(STDERR, "ws close $wsSocket\n");
}

/** Posts a cast to the broker that called; null when it is not there. */
function wsCast(string|array $wsTarget = 'all', ?string $wsHost = null, string|array $wsExcept = '', ...$data)
{
    $cast = ['host' => $wsHost ?? HOST, 'target' => $wsTarget, 'except' => $wsExcept, 'data' => $data];
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ['Content-Type: application/json', 'Connection: close'],
        'content' => json_encode($cast, JSON_THROW_ON_ERROR),
        'timeout' => 3.0,
        'ignore_errors' => true,
    ]]);
    $receipt = @file_get_contents(getenv('PHLOWS_URL') . '/message', false, $context);
    return $receipt === false ? null : json_decode($receipt, true);
}

function answer(string $hook, array $arguments): void
{
    $message = $hook === 'receive' ? json_decode(array_pop($arguments), true, 512, JSON_THROW_ON_ERROR) : [];
    $result = ('ws' . ucfirst($hook))(...$arguments, ...$message);
    if ($hook === 'connect' || $hook === 'auth') {
        echo $result === true ? "true\n" : "false\n";
    }
}

set_error_handler(function (int $severity, string $text): bool {
    return (error_reporting() & $severity) ? throw new ErrorException($text, 0, $severity) : true;
});
[, $command, $host] = $argv;
define('HOST', $host);
try {
    answer(explode('::', $command)[1], array_slice($argv, 2));
} catch (Throwable $error) {
    fwrite(STDERR, json_encode(['error' => $error->getMessage()]) . "\n");
    exit(1);
}
