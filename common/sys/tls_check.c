/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the TLS settings of a configuration can be used, in Consul's words and order: the pair,
 * the authorities, the rules. The words about PEM are those of Go's crypto/tls.
 */
#include "common/sys/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/buf.h"

enum { FILE_SIZE_MAX = 1 << 20, SHOWN_MAX = 4096 };

/* "open x: no such file or directory" */
static int system_refuse(const char *doing, const char *path, int error, struct buf *why)
{
	const char *words = strerror(error);

	buf_printf(why, "%s %s: %c%s", doing, path, tolower((unsigned char)words[0]), words + 1);
	return ST_INVALID;
}

static int file_read(const char *path, struct buf *out, struct buf *why)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0) {
		return system_refuse("open", path, errno, why);
	}
	while ((n = read(fd, buf_reserve(out, 65536), 65536)) > 0 && out->n < FILE_SIZE_MAX) {
		out->n += (size_t)n;
	}
	return n < 0 ? system_refuse("read", path, errno, why) : 0;
}

/* The next block's type; STR_NONE at the end. *rest is what comes behind it. */
static struct str pem_next(struct str *rest)
{
	static const struct str begin = { "-----BEGIN ", 11 }, dashes = { "-----", 5 };

	for (;;) {
		OWN_EMBEDDED(buf_fini) struct buf end = { 0 };
		ssize_t at = str_find_str(*rest, begin);
		struct str type;
		ssize_t n;

		if (at < 0) {
			return STR_NONE;
		}
		type = str_skip(*rest, (size_t)at + begin.n);
		n = str_find_str(type, dashes);
		if (n < 0) {
			return STR_NONE;
		}
		type = str_cut(type, (size_t)n);
		*rest = str_skip(*rest, (size_t)at + begin.n);
		buf_printf(&end, "-----END " STR_FMT "-----", STR_ARG(type));
		n = str_find_str(*rest, buf_str(&end));
		if (n >= 0) {
			*rest = str_skip(*rest, (size_t)n + end.n);
			return type;
		}
	}
}

struct pem_kind {
	bool (*is_wanted)(struct str type);
	const char *name;	  /* "failed to find any PEM data in %s input" */
	const char *other;	  /* the kind for which it may have been taken */
	const char *mistaken;	  /* what is said then */
	const char *wanted_words; /* "failed to find %s in ..." */
};

static bool is_certificate(struct str type)
{
	return str_is(type, "CERTIFICATE");
}

static bool is_key(struct str type)
{
	return str_ends(type, STR("PRIVATE KEY"));
}

static const struct pem_kind certificates = { is_certificate, "certificate", "PRIVATE KEY",
	"failed to find certificate PEM data in certificate input, but did find a private key; PEM "
	"inputs may have been switched",
	"\"CERTIFICATE\" PEM block" };
static const struct pem_kind keys = { is_key, "key", "CERTIFICATE",
	"found a certificate rather than a key in the PEM for the private key",
	"PEM block with type ending in \"PRIVATE KEY\"" };

/* A block of this kind stands in the text. */
static int pem_check(struct str text, const struct pem_kind *kind, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf skipped = { 0 };
	struct str type, last = STR_NONE;
	int count = 0;

	while ((type = pem_next(&text)).p) {
		if (kind->is_wanted(type)) {
			return 0;
		}
		buf_printf(&skipped, "%s" STR_FMT, count++ ? " " : "", STR_ARG(type));
		last = type;
	}
	if (count == 0) {
		buf_printf(why, "tls: failed to find any PEM data in %s input", kind->name);
	} else if (count == 1 && str_ends(last, str_of(kind->other))) {
		buf_printf(why, "tls: %s", kind->mistaken);
	} else {
		buf_printf(why,
			"tls: failed to find %s in %s input after skipping PEM blocks of the "
			"following types: [" STR_FMT "]",
			kind->wanted_words, kind->name, STR_ARG(buf_str(&skipped)));
	}
	return ST_INVALID;
}

static int pair_check(const struct tls_options *o, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf certificate = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	int r;

	if (!o->cert_file || !o->key_file) {
		return 0;
	}
	buf_put_lit(why, "Failed to load cert/key pair: ");
	r = file_read(o->cert_file, &certificate, why);
	r = r ? r : file_read(o->key_file, &key, why);
	r = r ? r : pem_check(buf_str(&certificate), &certificates, why);
	r = r ? r : pem_check(buf_str(&key), &keys, why);
	r = r ? r : tls_pair_check(buf_str(&certificate), buf_str(&key), why);
	if (r == 0) {
		buf_clear(why);
	}
	return r;
}

static int authorities_check(const struct tls_options *o, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	DIR *directory;

	if (o->ca_file) {
		buf_printf(why, "Error loading from %s: ", o->ca_file);
		if (file_read(o->ca_file, &text, why)) {
			return ST_INVALID;
		}
		buf_clear(why);
		if (!tls_has_certificate(buf_str(&text))) {
			buf_put_lit(why, "Couldn't parse PEM ");
			buf_put_str(why, str_cut(buf_str(&text), SHOWN_MAX));
			return ST_INVALID;
		}
		return 0;
	}
	if (o->ca_path) {
		directory = opendir(o->ca_path);
		if (!directory) {
			return system_refuse("lstat", o->ca_path, errno, why);
		}
		closedir(directory);
	}
	return 0;
}

static int rules_check(const struct tls_options *o, struct buf *why)
{
	bool has_authorities = o->ca_file || o->ca_path;
	const char *text = NULL;

	if (o->version_min && !tls_version_is_known(o->version_min)) {
		buf_printf(why,
			"TLSMinVersion: value %s not supported, please specify one of [tls10, "
			"tls11, tls12, tls13]",
			o->version_min);
		return ST_INVALID;
	}
	if (o->verify_server && !has_authorities) {
		text = "VerifyOutgoing set, and no CA certificate provided!";
	} else if (o->verify_client && !has_authorities) {
		text = "VerifyIncoming set but no CA certificates were provided";
	} else if (o->verify_client && (!o->cert_file || !o->key_file)) {
		text = "VerifyIncoming requires either a Cert and Key pair in the configuration "
		       "file, or auto_encrypt/auto_config be enabled";
	}
	buf_put_cstr(why, text ? text : "");
	return text ? ST_INVALID : 0;
}

static const char *text_or_null(struct arena *arena, struct str s)
{
	return s.n ? arena_str(arena, s).p : NULL;
}

void tls_options_of(const struct conf *c, struct arena *arena, struct tls_options *out)
{
	*out = (struct tls_options) {
		.cert_file = text_or_null(arena, c->cert_file),
		.key_file = text_or_null(arena, c->key_file),
		.ca_file = text_or_null(arena, c->ca_file),
		.ca_path = text_or_null(arena, c->ca_path),
		.version_min = text_or_null(arena, c->tls_min_version),
		.verify_client = c->verify_incoming || c->verify_incoming_https,
		.verify_server = c->verify_outgoing,
	};
}

int tls_check(const struct conf *c, const char *prefix, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	struct tls_options o;
	int r;

	tls_options_of(c, &arena, &o);
	r = pair_check(&o, &reason);
	r = r ? r : authorities_check(&o, &reason);
	r = r ? r : rules_check(&o, &reason);
	if (r) {
		buf_printf(why, "%s" STR_FMT, prefix, STR_ARG(buf_str(&reason)));
	}
	return r;
}
