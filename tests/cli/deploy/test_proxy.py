"""phlows proxy: what stands in the files; test_proxy_running.py runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest

KINDS = ("caddy", "nginx", "frankenphp")


@pytest.fixture
def write(tmp_path):
    """Writes a configuration: a text, and hosts each with its table."""

    def run(text="", **hosts):
        tables = [f'[hosts."{name}"]\n{table}\n' for name, table in hosts.items()]
        path = tmp_path / "phlows.toml"
        path.write_text("\n".join([text, *tables]))
        return path

    return run


@pytest.fixture
def made(phlows):
    """The text of the one file that a command makes."""

    def run(*args):
        done = phlows("proxy", *args, "--json")
        assert done.exit_code == 0, done.stderr
        answer = json.loads(done.stdout)
        run.answer = answer
        (file,) = answer["files"]
        return file["text"]

    return run


@pytest.fixture
def site(tmp_path):
    """An app in a www folder."""
    folder = tmp_path / "site" / "www"
    folder.mkdir(parents=True)
    (folder / "app.php").touch()
    return folder


# What is passed to the broker


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_sockets_and_the_script_are_passed_on(made, write, kind):
    write('[server]\npath = ["/ws", "/live"]', **{"a.test": "hooks = []"})
    text = made(kind)
    wanted = [f"/{p}{s}" for p in ("ws", "live") for s in ("", *SCRIPTS)]
    if kind == "nginx":
        assert set(re.findall(r"location = (\S+) {", text)) == set(wanted)
    else:
        assert re.findall(r"@phlows path (.*)", text) == [
            f"/ws /live {' '.join(wanted[1:4] + wanted[5:])}"
        ]


SCRIPTS = ("/phlows.js", "/phlows.mjs", "/phlows.d.ts")


@pytest.mark.parametrize(
    ("server", "caddy", "nginx"),
    [
        ("port = 4000", "127.0.0.1:4000", "http://127.0.0.1:4000"),
        ('listen = "0.0.0.0"', "127.0.0.1:3001", "http://127.0.0.1:3001"),
        ('listen = "::1"', "[::1]:3001", "http://[::1]:3001"),
        ('listen = ["unix:/run/p.sock"]', "unix//run/p.sock", "http://unix:/run/p.sock:"),
    ],
)
def test_the_broker_is_where_the_configuration_says(made, write, server, caddy, nginx):
    write(f"[server]\n{server}", **{"a.test": "hooks = []"})
    assert f"reverse_proxy {caddy} {{" in made("caddy")
    assert f"proxy_pass {nginx};" in made("nginx")


def test_a_broker_on_another_machine_is_named_and_its_certificate_asked_for(made, write):
    write("", **{"a.test": "hooks = []"})
    upstream = ("--upstream", "https://10.0.0.5:3001")
    assert "tls_server_name a.test" in made("caddy", *upstream)
    text = made("nginx", *upstream)
    assert "proxy_pass https://10.0.0.5:3001;" in text
    assert "proxy_ssl_name a.test;" in text
    assert any("server.trusted_proxies" in remark for remark in made.answer["remarks"])


def test_trusted_proxies_are_mentioned_only_where_they_lack(made, write):
    write('[server]\ntrusted_proxies = ["10.0.0.0/8"]', **{"a.test": "hooks = []"})
    made("caddy")
    assert any("server.trusted_proxies" in remark for remark in made.answer["remarks"])
    made("caddy", "--upstream", "unix:/run/p.sock")
    assert not any("server.trusted_proxies" in remark for remark in made.answer["remarks"])


@pytest.mark.parametrize(
    ("ping", "table", "least"),
    [(25, "", 60), (100, "", 200), (1, 'app = "/a.py"\nauth = "upgrade"\ntimeout = 90', 90)],
)
def test_nginx_waits_longer_than_the_broker_is_ever_silent(made, write, ping, table, least):
    write(f"[server]\nping_interval = {ping}", **{"a.test": table or "hooks = []"})
    times = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", made("nginx"))
    assert len(times) == 2
    assert all(int(seconds) >= least for seconds in times)


# Hosts and certificates


def test_each_host_has_a_block_and_host_chooses(made, write):
    write("", **{"a.test": "hooks = []", "b.example.com": "hooks = []", "::1": "hooks = []"})
    for kind, pattern in (("caddy", r"^(\S+) {$"), ("nginx", r"server_name (\S+);")):
        found = set(re.findall(pattern, made(kind), re.MULTILINE))
        assert found == {"a.test", "b.example.com", "[::1]"}
        only = set(re.findall(pattern, made(kind, "--host", "B.example.com"), re.MULTILINE))
        assert only == {"b.example.com"}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "shop.local", "intranet"])
def test_a_private_name_gets_a_certificate_of_ones_own(made, write, name):
    write("", **{name: "hooks = []"})
    assert "tls internal" in made("caddy")
    made("nginx")
    assert any(command.startswith("openssl req") for command in made.answer["commands"])


def test_a_public_name_gets_its_certificate_by_itself(made, write):
    write("", **{"app.example.com": "hooks = []"})
    assert "tls internal" not in made("caddy")
    assert "/etc/letsencrypt/live/app.example.com/fullchain.pem" in made("nginx")
    assert any(command.startswith("certbot ") for command in made.answer["commands"])


def test_the_brokers_own_certificate_is_used(made, write, tmp_path):
    write('[server]\ntls_cert = "c.pem"\ntls_key = "k.pem"', **{"app.example.com": "hooks = []"})
    assert f"tls {tmp_path}/c.pem {tmp_path}/k.pem" in made("caddy")
    assert f"ssl_certificate {tmp_path}/c.pem;" in made("nginx")
    assert made.answer["commands"] == ["nginx -t", "systemctl reload nginx"]


# The site beside the sockets


@pytest.mark.parametrize("kind", KINDS)
def test_a_php_app_gets_the_rest(made, write, site, kind):
    write("", **{"a.test": f'app = "{site}/app.php"'})
    text = made(kind, *([] if kind == "frankenphp" else ["--php", "unix:/run/fpm.sock"]))
    assert re.search(rf"root (\* )?{site}\b", text)
    wanted = {
        "caddy": "php_fastcgi unix//run/fpm.sock {\n\t\t\tindex app.php",
        "nginx": "fastcgi_pass unix:/run/fpm.sock;",
        "frankenphp": "php_server {\n\t\t\ttry_files {path} {path}/app.php app.php",
    }
    assert wanted[kind] in text


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_of_the_site_goes_before_the_app(made, write, site, kind):
    (site / "index.php").touch()
    write("", **{"a.test": f'app = "{site}/app.php"'})
    assert "app.php" not in made(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_of_an_app_is_not_shown_unless_it_is_meant_for_visitors(
    phlows, made, write, tmp_path, kind
):
    write("", **{"a.test": 'app = "app.php"'})  # beside phlows.toml
    text = made(kind)
    assert str(tmp_path) not in text
    assert "404" in text
    assert any("--root" in remark for remark in made.answer["remarks"])
    (tmp_path / "public").mkdir()
    assert str(tmp_path / "public") in made(kind)
    assert str(tmp_path / "other") in made(kind, "--root", "other")


def test_the_site_of_a_url_app_is_passed_on_without_its_password(made, write):
    write("", **{"a.test": 'app = "http://user:topsecret@127.0.0.1:8080/hooks"'})
    for kind, line in (
        ("caddy", "reverse_proxy http://127.0.0.1:8080"),
        ("nginx", "proxy_pass http://127.0.0.1:8080;"),
    ):
        text = made(kind)
        assert line in text
        assert "topsecret" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_the_configuration_is_remarked_on_and_its_files_hidden(
    made, write, tmp_path, kind
):
    (tmp_path / "index.html").touch()
    write('[server]\nstate_dir = "state"', **{"a.test": 'app = "run-me"'})
    text = made(kind, "--root", str(tmp_path))
    assert any(str(tmp_path) in r and "phlows.toml" in r for r in made.answer["remarks"])
    hidden = ("/phlows.toml", "/run-me", "/state/key", "/state/")
    assert all(path in text for path in hidden)
    assert "php" in re.search(r"path \*/\.\* (.*)|\|(php)\)", text).group(0)
    made(kind, "--root", str(tmp_path / "public"))
    assert not any("phlows.toml" in remark for remark in made.answer["remarks"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_php_fpm_that_is_not_here_is_told_of(phlows, made, write, site, monkeypatch, kind):
    monkeypatch.setattr("pathlib.Path.glob", lambda *_: [])
    write("", **{"a.test": f'app = "{site}/app.php"'})
    text = made(kind)
    told = [remark for remark in made.answer["remarks"] if "--php" in remark]
    assert len(told) == (0 if kind == "frankenphp" else 1)
    assert all(f"# {remark}" in text for remark in told)
    if told:
        made(kind, "--php", "unix:/run/fpm.sock")
        assert not any("--php" in remark for remark in made.answer["remarks"])


def test_paths_that_are_typed_lose_their_dots(made, write, tmp_path):
    write("", **{"a.test": "hooks = []"})
    typed = ("--tls-cert", "x/../c.pem", "--tls-key", "./k.pem", "--root", "x/../site")
    text = made("nginx", *typed)
    assert ".." not in re.sub(r"#.*", "", text)
    assert f"ssl_certificate {tmp_path}/c.pem;" in text
    assert f"root {tmp_path}/site;" in text


# The programs


@pytest.mark.caddy
@pytest.mark.parametrize("args", [(), ("--https-port", "8443")])
def test_caddy_reads_the_file_and_would_write_it_so(made, write, site, tmp_path, args):
    write("", **{"a.test": f'app = "{site}/app.php"', "b.example.com": "hooks = []"})
    text = made("caddy", *args)
    caddy(tmp_path, text, "adapt", "--validate")
    assert caddy(tmp_path, text, "fmt") == text


@pytest.mark.caddy
def test_what_is_caddys_of_the_file_for_frankenphp_is_right(made, write, site, tmp_path):
    write("", **{"a.test": f'app = "{site}/app.php"', "b.test": "hooks = []"})
    text = made("frankenphp")
    assert caddy(tmp_path, text, "fmt") == text
    # Caddy does not know these two; the rest must be as Caddy has it.
    text = text.replace("\tfrankenphp\n", "").replace("php_server", "php_fastcgi 127.0.0.1:9000")
    caddy(tmp_path, text, "adapt", "--validate")


def caddy(folder, text, command, *args):
    file = folder / "Caddyfile"
    file.write_text(text)
    place = [str(file)] if command == "fmt" else ["--config", str(file)]
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder / "home"))
    done = subprocess.run(
        [shutil.which("caddy"), command, *args, *place],
        env={**os.environ, **homes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if command == "fmt" and done.stdout != text else 0), done.stderr
    return done.stdout


# What is typed


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--upstream", "nowhere"), "--upstream 'nowhere' is not host:port"),
        (("--php", "x; evil"), "--php 'x; evil' cannot be written into such a file"),
        (("--root", "/a{b}"), "cannot be written into such a file"),
        (("--tls-cert", "c.pem"), "--tls-cert and --tls-key belong together"),
    ],
)
def test_what_cannot_be_is_told(phlows, write, args, sentence):
    write("", **{"a.test": "hooks = []"})
    done = phlows("proxy", "nginx", *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_a_folder_that_cannot_be_made_is_exit_code_1(phlows, write, tmp_path):
    write("", **{"a.test": "hooks = []"})
    (tmp_path / "file").touch()
    done = phlows("service", "pm2", "--output", "file/site")
    assert (done.exit_code, done.stderr) == (1, "error: --output file/site: Not a directory\n")


def test_a_host_that_is_not_registered_brings_those_that_are(phlows, write):
    write("", **{"a.test": "hooks = []"})
    done = phlows("proxy", "nginx", "--host", "b.test")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'b.test'" in done.stderr
    assert "a.test" in done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server]\nport = 1", "no host is registered"),
        ('[server]\npath = "/"\n[hosts.a]\nhooks = []', 'server.path is "/"'),
        ("[server]\nport = 0\n[hosts.a]\nhooks = []", "server.port is 0"),
        ("[server]\nprot = 0", ":2: unknown key server.prot"),
    ],
)
def test_a_configuration_that_no_web_server_can_serve_is_told(phlows, write, text, sentence):
    write(text)
    done = phlows("proxy", "caddy")
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_output_writes_the_file_and_never_over_another_unless_forced(phlows, write, tmp_path, kind):
    write("", **{"a.test": "hooks = []"})
    place = tmp_path / "made.conf"
    printed = phlows("proxy", kind).stdout
    done = phlows("proxy", kind, "--output", str(place))
    assert (done.exit_code, done.stdout) == (0, f"wrote {place}\n")
    assert place.read_text() == printed
    assert phlows("proxy", kind, "--output", str(place)).exit_code == 2
    assert phlows("proxy", kind, "--output", str(place), "--force").exit_code == 0
