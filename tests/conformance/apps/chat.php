<?php
/*
 * The chat example of the Phlo guide, in plain PHP: the four functions, ws-prefixed arguments, a
 * payload that is spread into named arguments, wsCast() over the bridge. Below them stands the
 * little that makes a command of it.
 */

declare(strict_types=1);

function wsConnect($wsHost, $wsToken, $wsSocket)
{
    wsCast(wsTarget: 'all', inner: ['#online' => wsCount() + 1]);
    return true;
}

function wsAuth($wsHost, $wsToken, $wsSocket)
{
    return str_starts_with($wsToken, 'topsecret');
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{
    $type = $data['type'] ?? null;
    if ($type === 'ping') {
        return wsCast(wsTarget: $wsSocket, pong: 1);
    }
    if ($type === 'chat.send') {
        return wsCast(wsExcept: $wsSocket, append: ['#chat' => "<p>é / {$data['text']}</p>"]);
    }
    if ($type === 'nothing') {
        return wsCast();
    }
    if ($type === 'whisper') {
        return wsCast(wsTarget: ['token:' . $data['to'], $wsSocket], toast: $data['text']);
    }
    return apply(log: $data);
}

function wsClose($wsHost, $wsToken, $wsSocket)
{
    wsCast(wsTarget: 'all', inner: ['#online' => wsCount()]);
}

function wsCast($wsTarget = 'all', $wsHost = null, $wsExcept = '', ...$data)
{
    // As the framework sends it: `except` always, an array for no arguments.
    return ask('/message', json_encode([
        'host' => $wsHost ?? HOST, 'target' => $wsTarget, 'except' => $wsExcept, 'data' => $data,
    ]));
}

function wsCount()
{
    return ask('/health')['hosts'][HOST]['sockets'];
}

function apply(...$commands)
{
    echo json_encode($commands), "\n";
}

function ask($path, $body = null)
{
    $options = ['header' => 'Content-Type: application/json', 'timeout' => 10.0, 'ignore_errors' => true];
    $options += $body === null ? [] : ['method' => 'POST', 'content' => $body];
    $context = stream_context_create(['http' => $options]);
    return json_decode(file_get_contents(getenv('PHLOWS_URL') . $path, false, $context), true);
}

define('HOST', $argv[2]);
$context = ['wsHost' => $argv[2], 'wsToken' => $argv[3], 'wsSocket' => $argv[4]];
switch ($argv[1]) {
    case 'ws::connect':
        echo wsConnect(...$context) ? 'true' : 'false';
        break;
    case 'ws::auth':
        echo wsAuth(...$context) ? 'true' : 'false';
        break;
    case 'ws::receive':
        wsReceive(...$context, ...json_decode($argv[5], true, 512, JSON_THROW_ON_ERROR));
        break;
    case 'ws::close':
        wsClose(...$context);
}
