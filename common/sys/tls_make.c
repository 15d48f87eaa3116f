/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates by GnuTLS. Every step's error is sticky (struct making), and told once.
 */
#include "common/sys/tls_make.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "common/base/err.h"
#include "common/sys/clock.h"

enum { SERIAL_SIZE = 16, KEY_ID_SIZE = 64, DAY_S = 24 * 3600 };

struct making {
	gnutls_x509_crt_t crt, issuer;
	gnutls_x509_privkey_t key, issuer_key;
	uint8_t serial[SERIAL_SIZE];
	int error;
};

void tls_pair_fini(struct tls_pair *p)
{
	buf_fini(&p->certificate);
	buf_fini(&p->key);
}

static void note(struct making *m, int r)
{
	m->error = m->error ? m->error : r < 0 ? r : 0;
}

static void making_fini(struct making *m)
{
	gnutls_x509_crt_deinit(m->crt);
	gnutls_x509_privkey_deinit(m->key);
	gnutls_x509_crt_deinit(m->issuer);
	gnutls_x509_privkey_deinit(m->issuer_key);
}

static void making_init(struct making *m, int64_t days)
{
	time_t now = (time_t)(clock_wall().ns / NS_PER_S);

	*m = (struct making) { 0 };
	note(m, gnutls_x509_crt_init(&m->crt));
	note(m, gnutls_x509_privkey_init(&m->key));
	note(m, gnutls_x509_crt_init(&m->issuer));
	note(m, gnutls_x509_privkey_init(&m->issuer_key));
	note(m, gnutls_x509_privkey_generate(m->key, GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	note(m, gnutls_rnd(GNUTLS_RND_RANDOM, m->serial, sizeof(m->serial)));
	m->serial[0] &= 0x7f; /* a positive number */
	note(m, gnutls_x509_crt_set_version(m->crt, 3));
	note(m, gnutls_x509_crt_set_serial(m->crt, m->serial, sizeof(m->serial)));
	note(m, gnutls_x509_crt_set_activation_time(m->crt, now));
	note(m, gnutls_x509_crt_set_expiration_time(m->crt, now + (time_t)days * DAY_S));
	note(m, gnutls_x509_crt_set_key(m->crt, m->key));
}

static void name_set(struct making *m, struct str name)
{
	note(m, gnutls_x509_crt_set_dn_by_oid(
			m->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name.p, (unsigned)name.n));
}

/* Who signs is named by the id of its key, as is who is signed. */
static void ids_set(struct making *m, gnutls_x509_crt_t issuer)
{
	uint8_t id[KEY_ID_SIZE];
	size_t n = sizeof(id);

	note(m, gnutls_x509_crt_get_key_id(m->crt, GNUTLS_KEYID_USE_SHA256, id, &n));
	note(m, gnutls_x509_crt_set_subject_key_id(m->crt, id, n));
	n = sizeof(id);
	if (gnutls_x509_crt_get_subject_key_id(issuer, id, &n, NULL) == 0) {
		note(m, gnutls_x509_crt_set_authority_key_id(m->crt, id, n));
	}
}

static void datum_take(gnutls_datum_t *d, struct buf *out)
{
	buf_put(out, d->data, d->size);
	gnutls_memset(d->data, 0, d->size);
	gnutls_free(d->data);
}

static int end(struct making *m, gnutls_x509_crt_t issuer, gnutls_x509_privkey_t issuer_key,
	struct tls_pair *out, struct buf *why)
{
	gnutls_datum_t certificate, key;

	ids_set(m, issuer);
	note(m, gnutls_x509_crt_sign2(m->crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0));
	if (m->error == 0) {
		note(m, gnutls_x509_crt_export2(m->crt, GNUTLS_X509_FMT_PEM, &certificate));
	}
	if (m->error == 0) {
		datum_take(&certificate, &out->certificate);
		note(m, gnutls_x509_privkey_export2(m->key, GNUTLS_X509_FMT_PEM, &key));
	}
	if (m->error == 0) {
		datum_take(&key, &out->key);
		return 0;
	}
	buf_put_cstr(why, gnutls_strerror(m->error));
	return ST_INVALID;
}

/* ---- an authority ---- */

static void decimal_put(struct buf *out, const uint8_t bytes[SERIAL_SIZE])
{
	unsigned __int128 n = 0;
	char digits[40];
	size_t at = sizeof(digits);

	for (size_t i = 0; i < SERIAL_SIZE; i++) {
		n = n << 8 | bytes[i];
	}
	do {
		digits[--at] = (char)('0' + (int)(n % 10));
		n /= 10;
	} while (n);
	buf_put(out, digits + at, sizeof(digits) - at);
}

static void permitted_set(struct making *m, struct strs permitted)
{
	gnutls_x509_name_constraints_t nc;

	if (permitted.count == 0 || m->error) {
		return;
	}
	note(m, gnutls_x509_name_constraints_init(&nc));
	for (uint32_t i = 0; i < permitted.count && m->error == 0; i++) {
		gnutls_datum_t name = { (unsigned char *)(uintptr_t)permitted.items[i].p,
			(unsigned)permitted.items[i].n };

		note(m, gnutls_x509_name_constraints_add_permitted(nc, GNUTLS_SAN_DNSNAME, &name));
	}
	note(m, gnutls_x509_crt_set_name_constraints(m->crt, nc, 1));
	gnutls_x509_name_constraints_deinit(nc);
}

int tls_make_ca(int64_t days, struct strs permitted, struct tls_pair *out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 };
	struct making m;
	int r;

	making_init(&m, days);
	buf_put_lit(&name, "Consul Agent CA ");
	decimal_put(&name, m.serial);
	name_set(&m, buf_str(&name));
	note(&m, gnutls_x509_crt_set_basic_constraints(m.crt, 1, -1));
	note(&m, gnutls_x509_crt_set_key_usage(m.crt, GNUTLS_KEY_DIGITAL_SIGNATURE |
							      GNUTLS_KEY_KEY_CERT_SIGN |
							      GNUTLS_KEY_CRL_SIGN));
	permitted_set(&m, permitted);
	r = end(&m, m.crt, m.key, out, why);
	making_fini(&m);
	return r;
}

/* ---- what it signs ---- */

static void names_set(struct making *m, const struct tls_subject *s)
{
	for (uint32_t i = 0; i < s->dns_names.count; i++) {
		note(m, gnutls_x509_crt_set_subject_alt_name(m->crt, GNUTLS_SAN_DNSNAME,
				s->dns_names.items[i].p, (unsigned)s->dns_names.items[i].n,
				GNUTLS_FSAN_APPEND));
	}
	for (uint32_t i = 0; i < s->addresses.count; i++) {
		OWN(free) char *text = str_dup(s->addresses.items[i]);
		uint8_t bytes[sizeof(struct in6_addr)];
		unsigned n = inet_pton(AF_INET, text, bytes) == 1    ? 4
			     : inet_pton(AF_INET6, text, bytes) == 1 ? 16
								     : 0;

		note(m, n ? gnutls_x509_crt_set_subject_alt_name(
				    m->crt, GNUTLS_SAN_IPADDRESS, bytes, n, GNUTLS_FSAN_APPEND)
			  : GNUTLS_E_INVALID_REQUEST);
	}
}

static int issuer_read(struct making *m, const struct tls_pair *ca, struct buf *why)
{
	const gnutls_datum_t certificate = { (unsigned char *)ca->certificate.p,
		(unsigned)ca->certificate.n },
			     key = { (unsigned char *)ca->key.p, (unsigned)ca->key.n };

	if (gnutls_x509_crt_import(m->issuer, &certificate, GNUTLS_X509_FMT_PEM)) {
		buf_put_lit(why, "no PEM-encoded data found in the CA");
		return ST_INVALID;
	}
	if (gnutls_x509_privkey_import(m->issuer_key, &key, GNUTLS_X509_FMT_PEM)) {
		buf_put_lit(why, "no PEM-encoded data found in the CA's key");
		return ST_INVALID;
	}
	return 0;
}

int tls_make_certificate(const struct tls_pair *ca, const struct tls_subject *s,
	struct tls_pair *out, struct buf *why)
{
	struct making m;
	int r;

	making_init(&m, s->days);
	r = issuer_read(&m, ca, why);
	if (r == 0) {
		name_set(&m, s->name);
		names_set(&m, s);
		note(&m, gnutls_x509_crt_set_basic_constraints(m.crt, 0, -1));
		note(&m, gnutls_x509_crt_set_key_usage(m.crt,
				 GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT));
		if (s->is_peer) {
			note(&m, gnutls_x509_crt_set_key_purpose_oid(
					 m.crt, GNUTLS_KP_TLS_WWW_SERVER, 0));
			note(&m, gnutls_x509_crt_set_key_purpose_oid(
					 m.crt, GNUTLS_KP_TLS_WWW_CLIENT, 0));
		}
		r = end(&m, m.issuer, m.issuer_key, out, why);
	}
	making_fini(&m);
	return r;
}
