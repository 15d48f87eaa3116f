/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GnuTLS behind tls.h.
 */
#include "common/sys/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>

#include "common/base/buf.h"

struct tls_context {
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	bool verify_client;
	unsigned refs; /* its owner and its sessions: those outlive a reload */
};

struct tls_session {
	struct tls_context *context;
	gnutls_session_t session;
	bool established;
};

static const struct version_row {
	const char *name, *priority;
} versions[] = {
	{ "tls10", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1:+VERS-TLS1.0" },
	{ "tls11", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-TLS1.1" },
	{ "tls12", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
	{ "tls13", "NORMAL:-VERS-ALL:+VERS-TLS1.3" },
};

static const struct version_row *version_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		if (name && strcmp(name, versions[i].name) == 0) {
			return &versions[i];
		}
	}
	return NULL;
}

bool tls_version_is_known(const char *version_min)
{
	return version_find(version_min) != NULL;
}

static const char *priority_of(const char *version_min)
{
	const struct version_row *row = version_find(version_min);

	return row ? row->priority : versions[2].priority;
}

static gnutls_datum_t datum_of(struct str s)
{
	return (gnutls_datum_t) { (unsigned char *)(uintptr_t)s.p, (unsigned)s.n };
}

static int certificate_count(struct str pem)
{
	gnutls_datum_t data = datum_of(pem);
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int rc = gnutls_x509_crt_list_import2(&list, &count, &data, GNUTLS_X509_FMT_PEM, 0);

	for (unsigned i = 0; rc >= 0 && i < count; i++) {
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	return rc < 0 ? 0 : (int)count;
}

bool tls_has_certificate(struct str pem)
{
	return certificate_count(pem) > 0;
}

static bool key_is_readable(struct str pem)
{
	gnutls_datum_t data = datum_of(pem);
	gnutls_x509_privkey_t key;
	int rc;

	must(gnutls_x509_privkey_init(&key) == 0);
	rc = gnutls_x509_privkey_import2(key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
	gnutls_x509_privkey_deinit(key);
	return rc == 0;
}

int tls_pair_check(struct str certificate_pem, struct str key_pem, struct buf *why)
{
	gnutls_datum_t certificate = datum_of(certificate_pem), key = datum_of(key_pem);
	gnutls_certificate_credentials_t credentials;
	int rc;

	if (!tls_has_certificate(certificate_pem)) {
		buf_put_lit(why, "x509: malformed certificate");
		return ST_INVALID;
	}
	if (!key_is_readable(key_pem)) {
		buf_put_lit(why, "tls: failed to parse private key");
		return ST_INVALID;
	}
	must(gnutls_certificate_allocate_credentials(&credentials) == 0);
	rc = gnutls_certificate_set_x509_key_mem(
		credentials, &certificate, &key, GNUTLS_X509_FMT_PEM);
	gnutls_certificate_free_credentials(credentials);
	if (rc < 0) {
		buf_put_cstr(why, rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH
					  ? "tls: private key does not match public key"
					  : gnutls_strerror(rc));
		return ST_INVALID;
	}
	return 0;
}

static int refused(const char *what, const char *name, int rc, struct buf *why)
{
	buf_printf(why, "%s %s: %s", what, name ? name : "", gnutls_strerror(rc));
	return ST_INVALID;
}

static int load_authorities(struct tls_context *c, const struct tls_options *o, struct buf *why)
{
	int rc;

	if (o->ca_file) {
		rc = gnutls_certificate_set_x509_trust_file(
			c->credentials, o->ca_file, GNUTLS_X509_FMT_PEM);
		if (rc < 0) {
			return refused("ca_file", o->ca_file, rc, why);
		}
	}
	if (o->ca_path) {
		rc = gnutls_certificate_set_x509_trust_dir(
			c->credentials, o->ca_path, GNUTLS_X509_FMT_PEM);
		if (rc < 0) {
			return refused("ca_path", o->ca_path, rc, why);
		}
	}
	return 0;
}

int tls_context_new(const struct tls_options *o, struct tls_context **out, struct buf *why)
{
	OWN(tls_context_free) struct tls_context *c = xcalloc(1, sizeof(*c));
	int rc;

	c->refs = 1;
	must(gnutls_certificate_allocate_credentials(&c->credentials) == 0);
	must(gnutls_priority_init(&c->priority, priority_of(o->version_min), NULL) == 0);
	c->verify_client = o->verify_client;
	if (!o->cert_file || !o->key_file) {
		buf_printf(why, "cert_file and key_file are needed for TLS");
		return ST_INVALID;
	}
	rc = gnutls_certificate_set_x509_key_file(
		c->credentials, o->cert_file, o->key_file, GNUTLS_X509_FMT_PEM);
	if (rc < 0) {
		return refused("cert_file", o->cert_file, rc, why);
	}
	rc = load_authorities(c, o, why);
	if (rc) {
		return rc;
	}
	*out = take(c);
	return 0;
}

void tls_context_free(struct tls_context *c)
{
	if (--c->refs) {
		return;
	}
	gnutls_certificate_free_credentials(c->credentials);
	gnutls_priority_deinit(c->priority);
	free(c);
}

struct tls_session *tls_session_new(struct tls_context *c, int fd)
{
	struct tls_session *s = xcalloc(1, sizeof(*s));

	s->context = c;
	c->refs++;
	must(gnutls_init(&s->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0);
	must(gnutls_priority_set(s->session, c->priority) == 0);
	must(gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, c->credentials) == 0);
	if (c->verify_client) {
		gnutls_session_set_verify_cert(s->session, NULL, 0);
		gnutls_certificate_server_set_request(s->session, GNUTLS_CERT_REQUIRE);
	}
	gnutls_transport_set_int(s->session, fd);
	gnutls_handshake_set_timeout(s->session, GNUTLS_INDEFINITE_TIMEOUT);
	return s;
}

void tls_session_free(struct tls_session *s)
{
	gnutls_deinit(s->session);
	tls_context_free(s->context);
	free(s);
}

static bool again(int rc)
{
	return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
}

int tls_handshake(struct tls_session *s)
{
	int rc;

	do {
		rc = gnutls_handshake(s->session);
	} while (rc < 0 && !again(rc) && !gnutls_error_is_fatal(rc));
	if (rc < 0) {
		return again(rc) ? ST_AGAIN : ST_INVALID;
	}
	s->established = true;
	return 0;
}

bool tls_established(const struct tls_session *s)
{
	return s->established;
}

bool tls_wants_write(const struct tls_session *s)
{
	return gnutls_record_get_direction(s->session) == 1;
}

ssize_t tls_read(struct tls_session *s, void *to, size_t n)
{
	ssize_t got = gnutls_record_recv(s->session, to, n);

	if (got >= 0) {
		return got;
	}
	if (got == GNUTLS_E_PREMATURE_TERMINATION) {
		return 0;
	}
	/* A client that renegotiates gets no answer to it: not fatal, not served. */
	errno = again((int)got) || !gnutls_error_is_fatal((int)got) ? EAGAIN : EPROTO;
	return -1;
}

ssize_t tls_write(struct tls_session *s, const struct str *parts, size_t count)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		struct str rest = parts[i];

		while (rest.n) {
			ssize_t n = gnutls_record_send(s->session, rest.p, rest.n);

			if (n < 0) {
				return again((int)n) ? (ssize_t)total : -1;
			}
			total += (size_t)n;
			rest = str_skip(rest, (size_t)n);
		}
	}
	return (ssize_t)total;
}

size_t tls_pending(const struct tls_session *s)
{
	return gnutls_record_check_pending(s->session);
}

void tls_bye(struct tls_session *s)
{
	gnutls_bye(s->session, GNUTLS_SHUT_WR);
}
