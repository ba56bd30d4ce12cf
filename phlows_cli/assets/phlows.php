<?php
/*
 * phlows.php: what a PHP app needs to answer a phlows broker and to cast. PHP 8.1 or newer, no
 * other file. `phlows sdk php > phlows.php` writes it. A whole app:
 *
 *     <?php
 *     require __DIR__ . '/phlows.php';
 *     function wsAuth($wsHost, $wsToken, $wsSocket) { return $wsToken === 'secret'; }
 *     function wsReceive($wsHost, $wsToken, $wsSocket, ...$data) { wsCast(toast: $data['text'] ?? ''); }
 *     phlows_run();
 *
 * The hooks are wsConnect, wsAuth, wsReceive and wsClose; a missing one accepts. connect is refused
 * by false alone, auth is accepted by true alone. A line of JSON that wsReceive prints goes to its
 * client (apply() prints one); what hooks return is for the broker. The keys of a message are named
 * arguments; a list goes by position, and so do, before the others, keys that are whole numbers.
 *
 * The broker also calls functions and static methods of yours ("refresh", "tasks::run"): public
 * ones that are written in PHP, never PHP's own. One-shot, their arguments are texts: what was no text
 * is JSON. Names that end in ::connect, ::auth, ::receive
 * and ::close are always hooks.
 *
 * With `runtime = "resident"` one process answers many events, of many visitors. After each of
 * them this file puts back output buffers, superglobals, environment, ini settings, error and
 * exception handlers, time zone, locale, folder, umask, session and headers. What it cannot put
 * back, an app must not keep:
 *  - static and global variables, constants, static properties: nothing of one visitor may stay in
 *    them, a token least of all: the next event is somebody else's;
 *  - connections to a database or cache stay open and may be gone at the next event: reconnect;
 *    end transactions and locks before the hook returns;
 *  - functions given to register_shutdown_function or spl_autoload_register pile up;
 *  - an app that removes every output buffer loses what it prints after that in this event.
 * wsClose finds in getenv('PHLOWS_CLOSE_REASON') why the socket was closed (client, timeout, limit,
 * drain, crash, ...), and in PHLOWS_CLOSE_ATTEMPT how often it was called for that socket.
 * Inside a hook STDIN and STDOUT are not usable: echo. exit() ends the process after this event,
 * which is then done without a result whatever the exit code, as PHP does not tell it; a fatal error
 * is a failed event.
 */

// No strict_types: arguments from a command line are text, and "5" must do for an int.

/** What this process is doing. */
final class phlows_state
{
    public static string $host = '';        // of the hook that runs: casts go there
    public static mixed $out = null;        // where frames go; null unless resident
    public static bool $booting = false;
    public static int $pid = 0;             // a child that a hook forked is another process
    public static mixed $id = null;         // the job in flight; null: none
    public static bool $streams = false;    // whether what it prints is wanted
    public static string $line = '';        // printed, without its newline yet
    public static string $last = "\n";      // the last byte printed, in one-shot
    public static bool $ending = false;     // the buffers are being ended, by us
}

const PHLOWS_JSON = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION;
const PHLOWS_HOOKS = ['connect', 'auth', 'receive', 'close'];
const PHLOWS_FATAL = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR;

if (PHP_SAPI === 'cli') {
    ini_set('display_errors', 'stderr');    // stdout is for the visitor
    if (($_SERVER['argv'][1] ?? '') === 'phlo_serve') {
        phlows_state::$booting = true;
        register_shutdown_function('phlows_ended');
    }
}

/** Runs what the command line asks for; the last line of an app. Does nothing in a web request. */
function phlows_run(): void
{
    $argv = $_SERVER['argv'] ?? [];
    $command = $argv[1] ?? '';
    $caller = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS, 1)[0]['file'] ?? '';
    $is_main = realpath($caller) === realpath($_SERVER['SCRIPT_FILENAME'] ?? '');
    if (PHP_SAPI !== 'cli' || !($is_main || $command === 'phlo_serve' || phlows_hook($command))) {
        return;
    }
    ini_set('zend.exception_ignore_args', '1');     // a trace in a log must not show tokens
    if (!ini_get('error_log')) {
        ini_set('log_errors', '0');                 // stderr has them already
    }
    $command === 'phlo_serve' ? phlows_serve() : phlows_once($command, array_slice($argv, 2));
}

if (!function_exists('wsCast')) {
    /** Sends a message to open sockets; the named arguments are its keys: wsCast(toast: 'hi').
     *
     * @param string|array $wsTarget 'all', 'token:<t>', 'token:not:<t>', a socket's id, or several
     * @param ?string $wsHost whose sockets; by default those of the hook's host
     * @param int|string|null $wsPort the broker: a port, http(s)://host:port or unix:/path
     * @param string|array $wsExcept ids of sockets that do not get it
     * @return ?array the receipt: sent, matched, dropped, held. Null when the broker is down, and when
     *     it refused, which error_log is told.
     */
    function wsCast(string|array $wsTarget = 'all', ?string $wsHost = null, int|string|null $wsPort = null, string|array $wsExcept = '', mixed ...$data): ?array
    {
        $host = phlows_host($wsHost);
        $cast = ($host === '' ? [] : ['host' => $host]) + [
            'target' => $wsTarget,
            'except' => $wsExcept,
            'data' => $data ?: new stdClass(),
        ];
        return phlows_ask('wsCast', 'POST /message', $wsPort, json_encode($cast, PHLOWS_JSON | JSON_THROW_ON_ERROR));
    }
}

if (!function_exists('wsPresence')) {
    /** Lists a host's open sockets, from accept on; null when that is unknown. Needs PHLOWS_KEY in the
     * host's env: it tells addresses and user agents. A socket's 'token' is the sha256 of its token. */
    function wsPresence(?string $wsHost = null, int|string|null $wsPort = null): ?array
    {
        $host = phlows_asked_host('wsPresence', $wsHost);
        return phlows_ask('wsPresence', 'GET /presence?host=' . rawurlencode($host), $wsPort)['sockets'] ?? null;
    }
}

if (!function_exists('wsCount')) {
    /** Counts a host's authenticated sockets; null when that is unknown. A socket counts once its auth
     * hook (without one, its connect hook) has accepted it. */
    function wsCount(?string $wsHost = null, int|string|null $wsPort = null): ?int
    {
        $host = phlows_asked_host('wsCount', $wsHost);
        $health = phlows_ask('wsCount', 'GET /health', $wsPort);
        if ($health !== null && !isset($health['hosts'][$host])) {
            error_log("wsCount: unknown host '$host'");
        }
        return $health['hosts'][$host]['sockets'] ?? null;
    }
}

if (!function_exists('apply')) {
    /** Prints commands for the page as one line of JSON: apply(inner: ['#n' => 3]). In wsReceive it
     * goes to the client; after phlows_stream() it leaves at once. */
    function apply(mixed ...$commands): void
    {
        echo json_encode($commands ?: new stdClass(), PHLOWS_JSON | JSON_THROW_ON_ERROR), "\n";
        flush();
    }
}

/** Makes this web response a stream: from here each apply() is on the page when it is printed. */
function phlows_stream(): void
{
    if (PHP_SAPI === 'cli') {
        return;     // a hook's lines leave at once as they are
    }
    header('Content-Type: application/x-ndjson');
    header('X-Accel-Buffering: no');
    header('Cache-Control: no-cache');
    ini_set('zlib.output_compression', '0');
    while (ob_get_level() > 0 && @ob_end_clean());
    flush();
}

// ---- calling the app

/** The hook that a command names; null for anything else. */
function phlows_hook(string $command): ?string
{
    $at = strrpos($command, '::');
    $name = $at ? substr($command, $at + 2) : '';
    return in_array($name, PHLOWS_HOOKS, true) ? $name : null;
}

/** Why this is no call: a hook lacks arguments, a function is not the app's; '' when it is one. */
function phlows_refusal(string $target, array $args): string
{
    $hook = phlows_hook($target);
    if ($hook === null && !phlows_is_callable($target)) {
        return "no function or public static method of this app is called '$target'";
    }
    if ($hook !== null && count($args) < 3) {
        return "$target needs a host, a token and a socket id";
    }
    if ($hook === 'receive' && !is_array(phlows_message($args))) {
        return "$target needs a message: a JSON object or array";
    }
    return '';
}

/** A function or public static method of the app; PHP's own and those of this file are not. */
function phlows_is_callable(string $target): bool
{
    if (preg_match('/^([\w\\\\]+)::(\w+)$/D', $target, $part) && method_exists($part[1], $part[2])) {
        $found = new ReflectionMethod($part[1], $part[2]);
        return $found->isPublic() && $found->isStatic() && !$found->isAbstract() && !$found->isInternal();
    }
    if (!preg_match('/^[\w\\\\]+$/D', $target) || !function_exists($target)) {
        return false;
    }
    $found = new ReflectionFunction($target);
    return !$found->isInternal() && $found->getFileName() !== __FILE__;
}

/** What the client sent, decoded; null when it is not JSON. */
function phlows_message(array $args): mixed
{
    return json_decode((string) ($args[3] ?? ''), true);
}

/** Calls the function that a target names. */
function phlows_call(string $target, array $args): mixed
{
    $hook = phlows_hook($target);
    return $hook === null ? $target(...phlows_spread($args)) : phlows_answer($hook, $args);
}

/** A hook's answer: true or false for connect and auth, null for the others. */
function phlows_answer(string $hook, array $args): ?bool
{
    $message = $hook === 'receive' ? phlows_message($args) : [];
    $args = array_map('strval', array_slice(array_values($args), 0, 3));
    phlows_state::$host = $args[0];
    $function = 'ws' . ucfirst($hook);
    $value = function_exists($function) ? $function(...$args, ...phlows_spread($message)) : true;
    if ($hook === 'auth' && !is_bool($value)) {
        error_log('wsAuth returned ' . get_debug_type($value) . ': only true accepts');
    }
    return match ($hook) {
        'connect' => $value !== false,
        'auth' => $value === true,
        default => null,
    };
}

/** Arguments in the order that PHP takes them: those by position first. */
function phlows_spread(array $values): array
{
    return array_is_list($values)
        ? $values
        : array_filter($values, 'is_int', ARRAY_FILTER_USE_KEY) + array_filter($values, 'is_string', ARRAY_FILTER_USE_KEY);
}

// ---- one process an event

function phlows_once(string $command, array $args): void
{
    if (($refusal = phlows_refusal($command, $args)) !== '') {
        fwrite(STDERR, "$refusal\n" . phlows_usage());
        exit(2);
    }
    phlows_state::$last = headers_sent() || ob_get_level() > 0 ? '' : "\n";
    $base = ob_get_level();
    ob_start(function (string $text): string {
        phlows_state::$last = $text === '' ? phlows_state::$last : $text[-1];
        return $text;
    }, 1);
    try {
        $value = json_encode(phlows_call($command, $args), PHLOWS_JSON | JSON_THROW_ON_ERROR);
    } catch (Throwable $error) {
        fwrite(STDERR, "$error\n");
        exit(1);
    }
    while (ob_get_level() > $base + 1 && @ob_end_flush());
    if ($value !== 'null' || phlows_hook($command) === null) {
        // Without our buffer nobody knows how the last line ended; a blank line is nothing.
        echo ob_get_level() > $base && phlows_state::$last === "\n" ? '' : "\n", $value, "\n";
    }
}

function phlows_usage(): string
{
    $app = $_SERVER['argv'][0] ?? 'app.php';
    return "usage: php $app ws::<connect|auth|close> host token socket\n"
        . "       php $app ws::receive host token socket message\n"
        . "       php $app <function|class::method> [argument...]\n"
        . "       php $app phlo_serve\n";
}

// ---- one process for many events: a line of JSON in for each, lines of JSON out

function phlows_serve(): never
{
    while (ob_get_level() > 0) {
        fwrite(STDERR, (string) ob_get_clean());    // what the boot printed is no frame
    }
    // fd 0 and 1 become /dev/null: neither the app nor a program that it starts can read or
    // write between our lines by mistake.
    $in = fopen('php://fd/0', 'r');
    phlows_state::$out = fopen('php://fd/1', 'w');
    if (headers_sent()) {
        fwrite(phlows_state::$out, "\n");           // the boot printed, perhaps half a line
    }
    fclose(STDIN);
    $nothing = fopen('/dev/null', 'r');
    fclose(STDOUT);
    $nowhere = fopen('/dev/null', 'w');
    $boot = phlows_surroundings();
    phlows_state::$booting = false;
    phlows_state::$pid = getmypid();
    phlows_frame(['t' => 'ready', 'env' => true]);
    while (($line = fgets($in)) !== false) {
        $job = json_decode($line, true, 1024);
        if (!is_array($job) || !isset($job['id'])) {
            fwrite(STDERR, "phlows: a line on stdin is no job\n");
            exit(1);
        }
        phlows_job($job);
        if (getmypid() !== phlows_state::$pid) {
            exit(0);                                // a forked child that returned from its hook
        }
        phlows_restore($boot);
    }
    exit(0);
}

function phlows_job(array $job): void
{
    error_clear_last();
    phlows_state::$id = $job['id'];
    foreach ((array) ($job['env'] ?? []) as $name => $value) {
        putenv("$name=$value");             // why a socket was closed; taken back with the rest
        $_SERVER[$name] = (string) $value;
    }
    phlows_state::$streams = (bool) ($job['stream'] ?? false);
    ob_start('phlows_printed', 1);
    try {
        [$target, $args] = [(string) ($job['target'] ?? ''), (array) ($job['args'] ?? [])];
        if (($refusal = phlows_refusal($target, $args)) !== '') {
            phlows_finish(['t' => 'error', 'message' => $refusal]);
            return;
        }
        $result = json_encode(phlows_call($target, $args), PHLOWS_JSON | JSON_THROW_ON_ERROR);
        phlows_end_buffers();
        phlows_finish(['t' => 'done'], $result);
    } catch (Throwable $error) {
        fwrite(STDERR, "$error\n");
        // The class alone: the text may hold secrets. An anonymous class has its path after a NUL.
        phlows_finish(['t' => 'error', 'message' => strtok($error::class, "\0")]);
    }
}

/** Ends the job: the rest of what it printed, then its last frame. */
function phlows_finish(array $frame, string $result = ''): void
{
    try {
        phlows_end_buffers();
    } catch (Throwable $error) {
        fwrite(STDERR, "$error\n");
    }
    if (phlows_state::$line !== '') {
        phlows_printed("\n");
    }
    $id = phlows_state::$id;
    phlows_state::$id = null;
    phlows_state::$host = '';
    phlows_frame(['id' => $id] + $frame, $result);
}

/** Passes on what the hook left in buffers of its own, and ends ours. */
function phlows_end_buffers(): void
{
    phlows_state::$ending = true;
    try {
        while (ob_get_level() > 0 && @ob_end_flush());
    } finally {
        phlows_state::$ending = false;
    }
}

/** The output buffer of a job: a frame for each whole line. */
function phlows_printed(string $text, int $phase = 0): string
{
    if ($phase & PHP_OUTPUT_HANDLER_FINAL && !phlows_state::$ending && phlows_state::$id !== null) {
        fwrite(STDERR, "phlows: the hook ended every output buffer; what it prints now is lost\n");
    }
    if (phlows_state::$id === null || !phlows_state::$streams) {
        return '';
    }
    $lines = explode("\n", phlows_state::$line . $text);
    phlows_state::$line = array_pop($lines);
    foreach ($lines as $line) {
        phlows_frame(['id' => phlows_state::$id, 't' => 'line', 'data' => $line]);
    }
    return '';
}

/** Writes one frame; a result is JSON already. */
function phlows_frame(array $frame, string $result = ''): void
{
    if (!phlows_state::$booting && getmypid() !== phlows_state::$pid) {
        return;     // the parent answers
    }
    $text = json_encode($frame, PHLOWS_JSON);
    $text = $result === '' ? $text : substr($text, 0, -1) . ",\"result\":$result}";
    fwrite(phlows_state::$out ?? STDOUT, "$text\n");
}

/** The end of a resident process, foreseen or not: the job in flight gets its answer. */
function phlows_ended(): void
{
    if (phlows_state::$id === null && !phlows_state::$booting) {
        return;
    }
    ini_set('memory_limit', '-1');      // it may be what ended us
    $error = error_get_last();
    $message = ($error['type'] ?? 0) & PHLOWS_FATAL ? phlows_cause($error['message']) : '';
    if (phlows_state::$id !== null) {
        // "last" tells the broker that this process takes no other job.
        $message === '' ? phlows_finish(['t' => 'done', 'last' => true], 'null') : phlows_finish(['t' => 'error', 'last' => true, 'message' => $message]);
    } elseif ($message !== '') {
        phlows_frame(['t' => 'fatal', 'message' => $message]);
        exit(1);
    }
}

/** A fatal error in words that hold no secret; stderr has its own. */
function phlows_cause(string $message): string
{
    return match (true) {
        str_starts_with($message, 'Allowed memory size') => 'fatal error: out of memory',
        str_starts_with($message, 'Maximum execution time') => 'fatal error: out of time',
        preg_match('/^Uncaught ([\w\\\\]+)/', $message, $part) === 1 => "uncaught $part[1]",
        default => 'fatal error',
    };
}

/** All that a hook may change and we can put back. */
function phlows_surroundings(): array
{
    return [
        'ini' => ini_get_all(null, false),
        'env' => getenv(),
        'globals' => [$_GET, $_POST, $_COOKIE, $_FILES, $_REQUEST, $_SERVER, $_ENV],
        'handlers' => [phlows_handler('error'), phlows_handler('exception')],
        'zone' => date_default_timezone_get(),
        'locale' => setlocale(LC_ALL, '0'),
        'encoding' => function_exists('mb_internal_encoding') ? mb_internal_encoding() : '',
        'folder' => getcwd(),
        'umask' => umask(),
    ];
}

function phlows_restore(array $boot): void
{
    set_error_handler(static fn (): bool => true);  // what fails here is no error of the app
    phlows_restore_session();
    foreach (array_diff_assoc($boot['ini'], ini_get_all(null, false)) as $name => $value) {
        ini_set($name, (string) $value);
    }
    if ($boot['ini']['max_execution_time'] > 0) {
        set_time_limit((int) $boot['ini']['max_execution_time']);
    }
    $env = getenv();
    foreach (array_diff_key($env, $boot['env']) as $name => $value) {
        putenv($name);
    }
    foreach (array_diff_assoc($boot['env'], $env) as $name => $value) {
        putenv("$name=$value");
    }
    [$_GET, $_POST, $_COOKIE, $_FILES, $_REQUEST, $_SERVER, $_ENV] = $boot['globals'];
    $_SERVER['REQUEST_TIME_FLOAT'] = microtime(true);
    $_SERVER['REQUEST_TIME'] = (int) $_SERVER['REQUEST_TIME_FLOAT'];
    date_default_timezone_set($boot['zone']);
    setlocale(LC_ALL, $boot['locale']);
    $boot['encoding'] === '' || mb_internal_encoding($boot['encoding']);
    chdir($boot['folder']);
    umask($boot['umask']);
    clearstatcache();
    gc_collect_cycles();
    phlows_restore_handler('exception', $boot['handlers'][1]);
    phlows_restore_handler('error', $boot['handlers'][0]);
    error_clear_last();
}

/** Saves an open session, as the end of a process would, and forgets whose it was. */
function phlows_restore_session(): void
{
    headers_sent() || header_remove();
    if (function_exists('session_id') && session_id() !== '') {
        session_status() === PHP_SESSION_ACTIVE && session_write_close();
        session_id('');
    }
    unset($_SESSION);
}

function phlows_handler(string $kind): mixed
{
    $handler = "set_{$kind}_handler"(static fn () => false);
    "restore_{$kind}_handler"();
    return $handler;
}

/** Takes off what the hook put on; puts back what it took off. */
function phlows_restore_handler(string $kind, mixed $handler): void
{
    while (($current = phlows_handler($kind)) !== $handler && $current !== null) {
        "restore_{$kind}_handler"();
    }
    if ($current !== $handler) {
        "set_{$kind}_handler"($handler);
    }
}

// ---- asking the broker

function phlows_host(?string $host): string
{
    return $host ?: phlows_state::$host ?: (defined('host') ? (string) constant('host') : '') ?: (string) getenv('PHLOWS_HOST') ?: $_SERVER['HTTP_HOST'] ?? '';
}

/** The host that is asked about, as the broker spells it: no port, brackets, trailing dot. */
function phlows_asked_host(string $asker, ?string $host): string
{
    $host = strtolower(trim(phlows_host($host)));
    if ($host === '') {
        throw new InvalidArgumentException("$asker needs \$wsHost outside of a hook");
    }
    if (preg_match('/^\[([^\]]*)\](:\d*)?$/D', $host, $part)) {
        return $part[1];
    }
    $host = substr_count($host, ':') === 1 ? strstr($host, ':', true) : $host;
    return preg_replace('/\.$/D', '', $host);
}

/** The answer to one request; null when the broker is down or refuses. */
function phlows_ask(string $asker, string $request, int|string|null $port, string $body = ''): ?array
{
    $url = (string) ($port ?: (defined('websocket') ? constant('websocket') : null) ?: getenv('PHLOWS_URL') ?: 3001);
    [$name, $address] = phlows_address($url);
    // HTTP/1.0: the answer is not chunked and ends where the connection does.
    $head = "$request HTTP/1.0\r\nHost: $name\r\nContent-Type: application/json\r\nContent-Length: " . strlen($body) . "\r\n";
    $key = (string) getenv('PHLOWS_KEY');
    $head .= $key === '' ? "\r\n" : "Authorization: Bearer $key\r\n\r\n";
    $answer = phlows_exchange($address, $head . $body);
    if (!preg_match('~^HTTP/1\.\d (\d{3})[^\r]*\r\n(.*?)\r\n\r\n(.*)$~Ds', $answer, $part)) {
        return null;
    }
    [, $status, $headers, $body] = $part;
    if (preg_match('/^content-length: *(\d+)/mi', $headers, $length) && (int) $length[1] !== strlen($body)) {
        return null;
    }
    if ($status === '200' && is_array($value = json_decode($body, true))) {
        return $value;
    }
    error_log("$asker: the broker at $url answered $status: " . preg_replace('/[\x00-\x1f\x7f]+/', ' ', substr($body, 0, 1024)));
    return null;
}

/** The name for the Host header, and the address for stream_socket_client. */
function phlows_address(string $url): array
{
    if (str_starts_with($url, 'unix:')) {
        return ['localhost', 'unix://' . preg_replace('~^//~', '', substr($url, 5))];
    }
    $url = ctype_digit($url) ? "http://127.0.0.1:$url" : $url;
    if (!preg_match('~^(https?)://((\[[^\]/]+\]|[^:/\[\]]+)(?::(\d+))?)(?:/|$)~Di', $url, $part)) {
        throw new InvalidArgumentException('the address of the broker is none of http(s)://host:port, unix:/path and a port');
    }
    $tls = strtolower($part[1]) === 'https';
    return [$part[2], ($tls ? 'ssl://' : 'tcp://') . $part[3] . ':' . ($part[4] ?? ($tls ? 443 : 80))];
}

/** All that the broker answers: a second to connect, three in all; '' when that was not enough. */
function phlows_exchange(string $address, string $request): string
{
    $deadline = microtime(true) + 3.0;
    $broker = @stream_socket_client($address, $code, $text, 1.0);
    if ($broker === false) {
        return '';
    }
    $answer = '';
    while (strlen($answer) < 1 << 24 && ($left = $deadline - microtime(true)) > 0) {
        stream_set_timeout($broker, (int) $left, (int) (fmod($left, 1.0) * 1e6));
        if ($request !== '') {
            // A broker that refuses a body may close early and still answer.
            $sent = @fwrite($broker, substr($request, 0, 65536));
            $request = $sent ? substr($request, $sent) : '';
            continue;
        }
        $chunk = @fread($broker, 65536);
        if ($chunk === false || ($chunk === '' && (feof($broker) || stream_get_meta_data($broker)['timed_out']))) {
            $whole = !stream_get_meta_data($broker)['timed_out'];
            break;
        }
        $answer .= $chunk;
    }
    fclose($broker);
    return $whole ?? false ? $answer : '';
}
