<?php
/*
 * A Phlo app that does as it is told: [["print", "text"], ["return", true], ...], in the "do" of a
 * message, or as JSON in the token for the hooks without one. `tasks::run` takes the steps themselves.
 */

declare(strict_types=1);

require __DIR__ . '/../engine.php';

function wsConnect($wsHost, $wsToken, $wsSocket)
{
    return steps::all(json_decode($wsToken, true), $wsSocket);
}

function wsAuth($wsHost, $wsToken, $wsSocket)
{
    return steps::all(json_decode($wsToken, true), $wsSocket);
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{
    return steps::all($data['do'] ?? $data, $wsSocket);
}

function wsClose($wsHost, $wsToken, $wsSocket)
{
    return steps::all(json_decode($wsToken, true), $wsSocket);
}

class tasks
{
    /** Steps as a list, or as JSON where only text can be given. */
    public static function run(array|string $do = [])
    {
        return steps::all(is_string($do) ? json_decode($do, true) : $do, '');
    }

    public static function sum(...$numbers)
    {
        return ['sum' => array_sum($numbers), 'of' => $numbers];
    }
}

class steps
{
    private static int $calls = 0;
    private static string $socket = '';

    /** Takes the steps in turn, up to the one that returns. */
    public static function all(array $steps, string $socket)
    {
        self::$calls++;
        self::$socket = $socket;
        foreach ($steps as [$name, $value]) {
            if ($name === 'return') {
                return $value;
            }
            if ($name === 'return_bytes') {
                return hex2bin($value);
            }
            self::$name($value);
        }
    }

    private static function print(string $text): void
    {
        echo "$text\n";
    }

    private static function write(string $text): void
    {
        echo $text;
    }

    private static function bytes(string $hex): void
    {
        echo hex2bin($hex);
    }

    private static function calls($_): void
    {
        echo json_encode(['calls' => self::$calls]), "\n";
    }

    private static function pid($_): void
    {
        echo json_encode(['pid' => getmypid()]), "\n";
    }

    private static function warn($_): void
    {
        echo $missing;
    }

    private static function silenced($_): void
    {
        @file_get_contents('/no/such/file');
    }

    private static function error(array $arguments): void
    {
        error(...$arguments);
    }

    private static function throw(string $text): void
    {
        throw new LogicException($text);
    }

    private static function die(string $text): void
    {
        die($text);
    }

    private static function exit(int $code): void
    {
        exit($code);
    }

    private static function memory($_): void
    {
        ini_set('memory_limit', '8M');
        str_repeat('x', 1 << 25);
    }

    private static function wait(string $fifo): void
    {
        fread(fopen($fifo, 'r'), 1);
    }

    private static function hang($_): void
    {
        while (true) {
            sleep(60);
        }
    }

    private static function kill(int $signal): void
    {
        posix_kill(getmypid(), $signal);
    }

    private static function cast(array $arguments): void
    {
        wsCast(...$arguments);
    }

    /** Answers the socket that the event came from. */
    private static function reply(array $data): void
    {
        wsCast(...['wsTarget' => self::$socket, ...$data]);
    }

    private static function dispatch(array $arguments): void
    {
        echo json_encode(['dispatched' => dispatch(...$arguments)]), "\n";
    }
}

phlo_app($argv);
