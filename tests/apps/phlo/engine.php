<?php
/*
 * Stands in for a Phlo engine (framework 1.0.1): its command line and its phlo_serve, faults included.
 *
 *   php app.php websocket::receive HOST TOKEN SOCKET MESSAGE    what is printed, then true or false
 *   php app.php phlo_serve                                      jobs on stdin, frames on stdout
 *
 * ENGINE_PORT and ENGINE_HOST are the constants of an app's configuration; without the first it casts
 * to whichever broker has called.
 * ENGINE_BOOT: "warning" prints one before anything else, "error" is a boot that fails.
 */

declare(strict_types=1);

define('host', getenv('ENGINE_HOST') ?: 'app.example.com');
define('websocket', (int) (getenv('ENGINE_PORT') ?: parse_url(getenv('PHLOWS_URL') ?: '', PHP_URL_PORT)));

/** The websocket resource; engine 1.0 has it under its old name. */
class ws
{
    public static function connect($wsHost, $wsToken, $wsSocket): bool
    {
        return (bool) wsConnect($wsHost, $wsToken, $wsSocket);
    }

    public static function auth($wsHost, $wsToken, $wsSocket): bool
    {
        return (bool) wsAuth($wsHost, $wsToken, $wsSocket);
    }

    /** Spreads the message, so it must be an object or a list, without the names of the arguments. */
    public static function receive($wsHost, $wsToken, $wsSocket, $message): bool
    {
        return (bool) wsReceive($wsHost, $wsToken, $wsSocket, ...json_decode($message, true));
    }

    public static function close($wsHost, $wsToken, $wsSocket): bool
    {
        return (bool) wsClose($wsHost, $wsToken, $wsSocket);
    }
}

class_alias('ws', 'websocket');

/** Gives up: the code becomes the exit code when it is one of 100 to 255. */
function error(string $message, int $code = 0): never
{
    throw new RuntimeException($message, $code);
}

/** Casts to the port of the configuration; whether anybody took it. */
function wsCast($wsTarget = 'all', $wsHost = host, $wsPort = websocket, $wsExcept = '', ...$data): bool
{
    $cast = ['host' => $wsHost, 'target' => $wsTarget, 'except' => $wsExcept, 'data' => $data];
    return post($wsPort, '/message', $cast) !== false;
}

/** Has another worker of this app run a target; prints what it prints when it is streamed. */
function dispatch(string $target, array $args = [], bool $stream = false, bool $async = false): mixed
{
    $answer = post(websocket, '/dispatch', [
        'app' => realpath($_SERVER['SCRIPT_FILENAME']),
        'target' => $target,
        'args' => $args,
        'stream' => $stream,
        'async' => $async,
        'build' => false,
    ]);
    if ($answer === false) {
        error("nobody took $target");
    }
    return $stream ? followed($answer) : answered(json_decode($answer, true));
}

function answered(array $answer): mixed
{
    if ($answer['status'] !== 'ok') {
        error($answer['message']);
    }
    return $answer['result'] ?? null;
}

/** Prints the lines of a streamed dispatch and returns its result. */
function followed(string $answer): mixed
{
    foreach (explode("\n", trim($answer)) as $line) {
        $frame = json_decode($line, true);
        match ($frame['t'] ?? '') {
            'line' => print($frame['data'] . "\n"),
            'done' => null,
            default => error($frame['message'] ?? $line),
        };
    }
    return $frame['result'] ?? null;
}

function post(int $port, string $path, array $body): string|false
{
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ['Content-Type: application/json', 'Connection: close'],
        'content' => json_encode($body),
        'timeout' => 10.0,
        'ignore_errors' => true,
    ]]);
    return @file_get_contents("http://127.0.0.1:$port$path", false, $context);
}

/** Runs what the command line asks for; an app ends with it. */
function phlo_app(array $argv): never
{
    set_error_handler(warned(...));
    $target = $argv[1] ?? '';
    try {
        boot();
        exit($target === 'phlo_serve' ? serve() : once($target, array_slice($argv, 2)));
    } catch (Throwable $error) {
        fwrite(STDERR, described($error) . "\n");
        $code = $error->getCode();
        exit(is_int($code) && $code >= 100 && $code <= 255 ? $code : 1);
    }
}

/** Makes any warning the end of a call, unless it was silenced. */
function warned(int $severity, string $text, string $file, int $line): bool
{
    return error_reporting() & $severity ? throw new ErrorException($text, 0, $severity, $file, $line) : true;
}

function boot(): void
{
    $how = getenv('ENGINE_BOOT');
    if ($how === 'warning') {
        echo "\nWarning: Module \"apcu\" is already loaded in Unknown on line 0\n";
    }
    if ($how === 'error') {
        error('the database is not there');
    }
}

function once(string $target, array $args): int
{
    $result = called($target, $args);
    echo json_encode($result), "\n";
    return 0;
}

/** Calls "class::method", a hook or anything else of the app. */
function called(string $target, array $args): mixed
{
    is_callable($target) && str_contains($target, '::') || error("there is no $target");
    return $target(...$args);
}

function described(Throwable $error): string
{
    $place = ['file' => $error->getFile(), 'line' => $error->getLine()];
    return json_encode(['error' => $error->getMessage(), ...$place], JSON_INVALID_UTF8_SUBSTITUTE);
}

/** Runs jobs one after the other, until stdin ends. */
function serve(): int
{
    echo frame(['t' => 'ready']);
    while (($line = fgets(STDIN)) !== false) {
        $job = json_decode($line, true);
        $lines = ($job['stream'] ?? false) ? new Lines($job['id']) : null;
        $end = ended($job);
        $lines?->finish();
        echo frame(['id' => $job['id'], ...$end]);
    }
    return 0;
}

function ended(array $job): array
{
    try {
        return ['t' => 'done', 'result' => called($job['target'], $job['args'])];
    } catch (Throwable $error) {
        return ['t' => 'error', 'message' => $error->getMessage()];
    }
}

/** Of what is not UTF-8 nothing is left but the newline. */
function frame(array $frame): string
{
    return json_encode($frame) . "\n";
}

/** What a job prints, as line frames; a job that exits leaves its last half line behind. */
final class Lines
{
    private string $rest = '';
    private int $level;

    public function __construct(private string $id)
    {
        $this->level = ob_get_level();
        ob_start($this->printed(...), 1);
    }

    public function finish(): void
    {
        while (ob_get_level() > $this->level) {
            ob_end_flush();
        }
        if ($this->rest !== '') {
            echo $this->framed($this->rest);
        }
    }

    private function printed(string $text): string
    {
        $lines = explode("\n", $this->rest . $text);
        $this->rest = array_pop($lines);
        return implode('', array_map($this->framed(...), $lines));
    }

    private function framed(string $line): string
    {
        return frame(['id' => $this->id, 't' => 'line', 'data' => $line]);
    }
}
