<?php
/* What actor.py is, in PHP: it records each call and acts as the test wrote down. */

declare(strict_types=1);

$stage = getenv('STAGE');
[, $command, $host, $token, $socket] = $argv;
$hook = substr((string) strrchr($command, ':'), 1);

function record(string $event, array $more = []): void
{
    global $stage, $hook, $socket;
    $line = json_encode(['event' => $event, 'hook' => $hook, 'socket' => $socket] + $more, JSON_THROW_ON_ERROR);
    file_put_contents("$stage/calls", "$line\n", FILE_APPEND);
    file_put_contents("$stage/bell", '.', FILE_APPEND);
}

function steps(): array
{
    global $stage, $hook, $argv;
    $message = isset($argv[5]) ? json_decode($argv[5], true, 512, JSON_THROW_ON_ERROR) : null;
    $plan = is_file("$stage/plan.json") ? json_decode(file_get_contents("$stage/plan.json"), true) : [];
    $usual = ['connect' => [['print', 'true']], 'auth' => [['print', 'true']]];
    return $message['do'] ?? $plan[$hook] ?? $usual[$hook] ?? [];
}

function filled(mixed $value): string
{
    global $host, $token, $socket;
    $text = is_string($value) ? $value : json_encode($value, JSON_UNESCAPED_SLASHES);
    return strtr($text, ['$socket' => $socket, '$host' => $host, '$token' => $token]);
}

function ask(string $method, string $path, string $body = ''): array
{
    $context = stream_context_create(['http' => [
        'method' => $method,
        'header' => ['Content-Type: application/json', 'Connection: close'],
        'content' => $body,
        'timeout' => 20.0,
        'ignore_errors' => true,
    ]]);
    return json_decode(file_get_contents(getenv('PHLOWS_URL') . $path, false, $context), true);
}

function wait_at_gate(int $port): void
{
    global $hook, $socket;
    $gate = stream_socket_client("tcp://127.0.0.1:$port", $number, $text, 20);
    stream_set_timeout($gate, 60);
    fwrite($gate, "$hook $socket\n");
    fread($gate, 1);
}

record('start', [
    'argv' => array_slice($argv, 1), 'env' => getenv(), 'cwd' => getcwd(), 'pid' => getmypid(),
]);
foreach (steps() as $step) {
    [$name, $value] = $step + [1 => null];
    match ($name) {
        'print' => print(filled($value) . "\n"),
        'write' => print($value),
        'complain' => fwrite(STDERR, "$value\n"),
        'gate' => wait_at_gate($value),
        'cast' => record('answer', ['value' => ask('POST', '/message', filled(['host' => $host] + $value))]),
        'health' => record('answer', ['value' => ask('GET', '/health')['hosts'][$host]]),
        'exit' => exit($value),
        'die' => die($value ?? ''),
        'throw' => throw new RuntimeException($value),
        // As on a server whose php.ini shows errors: the text goes to stdout.
        'warn' => [ini_set('display_errors', '1'), $value . $undefined],
        'fatal' => [ini_set('display_errors', '1'), no_such_function()],
    };
}
record('end');
