# SPDX-License-Identifier: Apache-2.0
"""TLS settings that cannot be used: the agent says why in Consul's words and ends, and a reload is refused. The expectations are
what Consul 1.8.7 prints; test_texts_are_consuls asks it."""
import http.client
import shutil
import socket
import ssl
import subprocess

import pytest

from node import Node, clean_environment
from test_consul_cli import consul  # noqa: F401

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
PAIR = "Failed to load cert/key pair: "
CASES = [
    ({"cert_file": "none", "key_file": "a.key"}, PAIR + "open {}/none: no such file or directory"),
    ({"cert_file": "a.crt", "key_file": "none"}, PAIR + "open {}/none: no such file or directory"),
    ({"cert_file": "", "key_file": "a.key"}, PAIR + "read {}/: is a directory"),
    ({"cert_file": "garbage", "key_file": "a.key"}, PAIR + "tls: failed to find any PEM data in certificate input"),
    ({"cert_file": "a.crt", "key_file": "garbage"}, PAIR + "tls: failed to find any PEM data in key input"),
    ({"cert_file": "a.crt", "key_file": "b.key"}, PAIR + "tls: private key does not match public key"),
    ({"cert_file": "a.crt", "key_file": "a.crt"}, PAIR + "tls: found a certificate rather than a key in the PEM for the "
                                                         "private key"),
    ({"cert_file": "a.key", "key_file": "a.key"}, PAIR + "tls: failed to find certificate PEM data in certificate input, but did "
                                                         "find a private key; PEM inputs may have been switched"),
    ({"cert_file": "others", "key_file": "a.key"}, PAIR + 'tls: failed to find "CERTIFICATE" PEM block in certificate input after '
                                                          "skipping PEM blocks of the following types: [ONE TWO]"),
    ({"cert_file": "a.crt", "key_file": "others"}, PAIR + 'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key '
                                                          "input after skipping PEM blocks of the following types: [ONE TWO]"),
    ({"ca_file": "none"}, "Error loading from {0}/none: open {0}/none: no such file or directory"),
    ({"ca_file": "garbage"}, "Couldn't parse PEM garbage\n"),
    ({"ca_path": "none"}, "lstat {}/none: no such file or directory"),
    ({"verify_incoming": True, "cert_file": "a.crt", "key_file": "a.key"},
     "VerifyIncoming set but no CA certificates were provided"),
    ({"verify_incoming": True, "ca_file": "a.crt"},
     "VerifyIncoming requires either a Cert and Key pair in the configuration file, or auto_encrypt/auto_config be enabled"),
    ({"verify_outgoing": True}, "VerifyOutgoing set, and no CA certificate provided!"),
    ({"tls_min_version": "tls9"}, "TLSMinVersion: value tls9 not supported, please specify one of [tls10, tls11, tls12, tls13]"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("files")
    for name in ("a", "b"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", name + ".key", "-out",
                        name + ".crt", "-days", "2", "-subj", "/CN=localhost"], cwd=directory, check=True, capture_output=True)
    (directory / "garbage").write_text("garbage\n")
    (directory / "others").write_text("".join("-----BEGIN %s-----\nAAAA\n-----END %s-----\n" % (name, name)
                                              for name in ("ONE", "TWO")))
    return directory


def settings(files, case):
    return {key: "%s/%s" % (files, value) if key.endswith(("_file", "_path")) else value for key, value in case.items()}


def start(node, binary=None):
    command = node.command()
    node.write_config()
    return subprocess.run([binary or command[0]] + command[1:], capture_output=True, text=True, timeout=60, check=False,
                          env=clean_environment())


@pytest.mark.parametrize("case, text", CASES)
def test_refused_at_the_start(make_node, files, case, text):
    out = start(make_node(config=settings(files, case)))
    assert out.returncode == 1
    assert out.stderr == "==> %s\n" % text.format(files)


@pytest.mark.parametrize("case, text", CASES)
def test_texts_are_consuls(make_node, files, case, text, consul):  # noqa: F811
    out = start(make_node(config=settings(files, case)), consul)
    assert out.returncode == 1
    assert out.stderr.rstrip("\n") == "==> %s" % text.format(files).rstrip("\n")


def ask_https(node, certificate, method, path):
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    connection = http.client.HTTPSConnection(node.address, 8501, context=context, timeout=60)
    connection.request(method, path)
    return connection.getresponse().status


def test_https_without_a_certificate(make_node, files):
    """The node runs, as Consul does; a reload brings the certificate, and another one in its place."""
    node = make_node(config={"ports": {"https": 8501}}).start()
    for name in ("a.crt", "a.key", "b.crt", "b.key"):
        shutil.copy(files / name, node.config_dir)
    with socket.create_connection((node.address, 8501), 60) as sock:
        assert sock.recv(1) == b""
    pair = {"cert_file": "a.crt", "key_file": "a.key"}
    node.config.update(settings(node.config_dir, pair))
    node.write_config()
    assert node.put("/v1/agent/reload").status == 200
    assert ask_https(node, files / "a.crt", "GET", "/v1/status/leader") == 200
    node.config.update(settings(node.config_dir, dict(pair, key_file="b.key")))
    node.write_config()
    answer = node.put("/v1/agent/reload")
    assert (answer.status, answer.text) == (500, "Failed reloading tls configuration: " + PAIR +
                                            "tls: private key does not match public key")
    node.config.update(settings(node.config_dir, pair))
    node.write_config()
    for name in ("crt", "key"):
        (node.config_dir / ("b." + name)).rename(node.config_dir / ("a." + name))
    assert node.put("/v1/agent/reload").status == 200
    assert ask_https(node, files / "b.crt", "GET", "/v1/status/leader") == 200


def test_relative_paths_begin_where_the_agent_was_started(make_node, files, tmp_path):
    node = make_node(config={"ports": {"https": 8501}, "cert_file": "a.crt", "key_file": "a.key", "pid_file": "pid-%s" % tmp_path.name})
    node.write_config()
    with open(node.log_path, "wb") as log:
        node.process = subprocess.Popen(node.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=files,
                                        env=clean_environment(), start_new_session=True)
    node.wait_ready()
    assert ask_https(node, files / "a.crt", "PUT", "/v1/agent/reload") == 200
    assert (files / node.config["pid_file"]).read_text() == str(node.process.pid)
    node.stop()
    assert not (files / node.config["pid_file"]).exists()


def test_httpd_goes_on_when_the_certificate_is_gone(make_node, files, tmp_path):
    for name in ("a.crt", "a.key"):
        shutil.copy(files / name, tmp_path)
    node: Node = make_node(config=dict(settings(tmp_path, {"cert_file": "a.crt", "key_file": "a.key"}), ports={"https": 8501}))
    node.start()
    (tmp_path / "a.key").unlink()
    node.wait_restarted("httpd", node.kill("httpd"))
    assert node.get("/v1/status/leader").status == 200
    assert "tls-unusable" in node.log()
