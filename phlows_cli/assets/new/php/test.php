<?php
/*
 * Run it with `php test.php`; it needs no broker.
 *
 * `phlows hook` calls a function of the app as the broker would, and tells what came of it: the
 * exit code is 0 when it accepted, and 4 when it refused.
 */

declare(strict_types=1);

/** Calls a hook; its exit code, and what its client would be sent. */
function hook(string $name, string $token, array $message = []): array
{
    $command = ['phlows', 'hook', $name, '--host', 'localhost', '--token', $token, '--json'];
    if ($message) {
        $command[] = json_encode($message);
    }
    $process = proc_open($command, [1 => ['pipe', 'w'], 2 => ['file', '/dev/null', 'w']], $pipes, __DIR__);
    $answer = stream_get_contents($pipes[1]);
    return [proc_close($process), $answer];
}

function check(string $what, bool $is_so): void
{
    echo $is_so ? 'ok    ' : 'FAILED  ', $what, "\n";
    $is_so || exit(1);
}

check('who says a name comes in', hook('auth', 'Ann')[0] === 0);
check('who says none does not', hook('auth', '')[0] === 4);
check('a name that is far too long does not either', hook('auth', str_repeat('n', 91))[0] === 4);

[$code, $answer] = hook('receive', 'Ann', ['type' => 'say', 'text' => 'hi']);
check('who says something has an empty field again', $code === 0 && str_contains($answer, '#text'));

[$code, $answer] = hook('receive', 'Ann', ['type' => 'say', 'text' => ' ']);
check('who says nothing is not answered', $code === 0 && !str_contains($answer, '#text'));
