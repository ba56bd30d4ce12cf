<?php
/* An app on phlows.php that does to itself what a message asks for: {"do": "...", ...}. */

require __DIR__ . '/../../phlows_cli/assets/phlows.php';

final class tasks
{
    public static int $events = 0;

    public static function echoed(mixed ...$args): array
    {
        echo 'printed by a task';
        return $args;
    }

    public static function typed(int $number): int
    {
        return $number + 1;
    }

    public static function nothing(): void
    {
    }

    public static function endless(): float
    {
        return INF;
    }

    public static function broken_text(): string
    {
        return "a\xffb";
    }

    private static function hidden(): void
    {
    }

    public function of_an_object(): void
    {
    }
}

final class dates extends DateTime
{
}

function plain(string ...$words): string
{
    return implode(' ', $words);
}

function wsConnect($wsHost, $wsToken, $wsSocket)
{
    return verdict($wsToken);
}

function wsAuth($wsHost, $wsToken, $wsSocket)
{
    return verdict($wsToken);
}

function verdict(string $token): mixed
{
    echo str_starts_with($token, 'loud ') ? 'good morning' : '';
    return match (preg_replace('/^loud /', '', $token)) {
        'true' => true,
        'false' => false,
        'one' => 1,
        'text' => 'true',
        'throw' => throw new DomainException('topsecret'),
        default => null,
    };
}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{
    $do = $data['do'] ?? 'data';
    return "do_$do"($data, [$wsHost, $wsToken, $wsSocket]);
}

function wsClose($wsHost, $wsToken, $wsSocket)
{
    apply(closed: $wsSocket);
    return false;
}

function do_data(array $data, array $context): bool
{
    echo json_encode([$context, $data === [] ? (object) [] : $data]);
    return true;
}

function do_print(array $data): void
{
    array_map(static fn ($text) => print $text, $data['texts']);
}

function do_wait(array $data): void
{
    echo "before\n";
    file_get_contents($data['fifo']);
    echo "after\n";
}

function do_bytes(): void
{
    echo "{\"a\":\"\xff\xfe\"}\n\n\"\xe2\x82";
}

function do_nested(): void
{
    echo 'one ';
    ob_start();
    echo 'two ';
    ob_start(static fn (string $text) => strtoupper($text));
    echo 'three';
}

function do_unbuffered(): void
{
    echo "seen\n";
    while (ob_get_level() > 0) {
        ob_end_clean();
    }
    echo "lost\n";
}

function do_throw(array $data): void
{
    ob_start();
    echo "so far\n";
    throw new DomainException('topsecret ' . $data['with']);
}

function do_throw_anonymous(): void
{
    throw new class ('topsecret') extends RuntimeException {
    };
}

function do_warn(): void
{
    echo $undefined['x'], "{\"after\":1}\n";
}

function do_end(array $data): void
{
    ob_start();
    echo 'so far';
    exit($data['with']);
}

function do_out_of_memory(): void
{
    echo "a\nb";
    ini_set('memory_limit', '16M');
    for ($held = [];;) {
        $held[] = str_repeat('x', 10000);
    }
}

function do_out_of_time(): void
{
    set_time_limit(1);
    for (;;) {
    }
}

function do_fatal(): void
{
    trigger_error('topsecret', E_USER_ERROR);
}

function do_stdout(): void
{
    fwrite(STDOUT, "raw\n");
}

function do_child(): void
{
    // The child has our standard input and output, and would eat or fake lines.
    proc_close(proc_open('cat; echo raw; echo raw >&1', [], $pipes));
    system('echo from a child');
}

/** A child that prints and then ends, or returns from the hook as its parent does. */
function do_fork(array $data): void
{
    $child = pcntl_fork();
    if ($child === 0) {
        echo "from the child\n";
        if ($data['exits']) {
            exit;
        }
        return;
    }
    pcntl_waitpid($child, $status);
    echo "from the parent\n";
}

function do_handled(): void
{
    set_error_handler(static fn (int $level, string $text) => print "handled\n");
    echo $undefined;
}

function do_change(): void
{
    tasks::$events++;
    ob_start();
    ini_set('memory_limit', '512M');
    ini_set('precision', '3');
    ini_set('display_errors', '1');
    error_reporting(0);
    set_time_limit(100);
    date_default_timezone_set('Asia/Tokyo');
    setlocale(LC_ALL, 'C');
    setlocale(LC_NUMERIC, 'C.UTF-8');
    chdir('/');
    umask(0);
    putenv('SDK_NEW=1');
    putenv('HOME=/elsewhere');
    putenv('PHLOWS_URL');
    $_GET['user'] = $_POST['user'] = $_COOKIE['user'] = $_SERVER['user'] = $_ENV['user'] = 'ann';
    $_SERVER['HTTP_HOST'] = 'stale.example.com';
    ini_set('session.save_path', sys_get_temp_dir());
    session_start();
    $_SESSION['user'] = 'ann';
    header('X-User: ann');
    set_error_handler(static fn () => true);
    set_error_handler(static fn () => false);
    set_exception_handler(static fn () => null);
    @trigger_error('left behind');
    $cycle = new stdClass();
    $cycle->self = [$cycle, str_repeat('x', 10000)];
}

function do_take_off(): void
{
    restore_error_handler();
}

function do_look(): void
{
    $is_handled = false;
    $handler = set_error_handler(null);
    restore_error_handler();
    $catcher = set_exception_handler(null);
    restore_exception_handler();
    apply(...[
        'error handler' => is_array($handler) ? $handler[1] : get_debug_type($handler),
        'exception handler' => get_debug_type($catcher),
        'ini' => array_diff_key(ini_get_all(null, false), ['session.save_path' => 1]),
        'zone' => date_default_timezone_get(),
        'locale' => setlocale(LC_ALL, '0'),
        'folder' => getcwd(),
        'umask' => umask(),
        'env' => getenv(),
        'globals' => [$_GET, $_POST, $_COOKIE, array_diff_key($_SERVER, ['REQUEST_TIME' => 1, 'REQUEST_TIME_FLOAT' => 1]), $_ENV],
        'session' => [isset($_SESSION), session_id(), session_status()],
        'headers' => headers_list(),
        'buffers' => ob_get_level(),
        'error' => error_get_last(),
        'float' => 1 / 3,
    ]);
}

function do_size(): void
{
    apply(events: tasks::$events, memory: memory_get_usage(), files: count(scandir('/proc/self/fd')));
}

/** The app's own handler, there since boot: it lets everything pass. */
final class errors
{
    public static function pass(): bool
    {
        return false;
    }
}

set_error_handler(['errors', 'pass']);

phlows_run();
