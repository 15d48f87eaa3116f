/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on the server's side of non-blocking sockets (gnutls.h is included in tls.c alone). The
 * caller owns the socket and waits for it; a session owns nothing but its keys.
 */
#ifndef MUSTER_COMMON_SYS_TLS_H
#define MUSTER_COMMON_SYS_TLS_H

#include "common/base/err.h"
#include "common/sys/conf.h"

struct buf;
struct tls_context;
struct tls_session;

struct tls_options {
	const char *cert_file, *key_file;
	const char *ca_file;	 /* NULL: none */
	const char *ca_path;	 /* NULL: none */
	const char *version_min; /* "tls10" "tls11" "tls12" "tls13"; NULL: tls12 */
	bool verify_client;	 /* a certificate signed by one of the CAs is required */
	bool verify_server;	 /* of others: for tls_check alone */
};

/* What a configuration says; the texts live in the arena. */
void tls_options_of(const struct conf *c, struct arena *arena, struct tls_options *out);
/* Whether a node can start with this: files are there and belong together, rules are kept.
 * ST_INVALID with Consul's text in *why, behind the prefix. */
int tls_check(const struct conf *c, const char *prefix, struct buf *why);
bool tls_version_is_known(const char *version_min);
bool tls_has_certificate(struct str pem);
int tls_pair_check(struct str certificate_pem, struct str key_pem, struct buf *why);

/* ST_INVALID with the reason in *why when a file cannot be used. */
int tls_context_new(const struct tls_options *options, struct tls_context **out, struct buf *why);
void tls_context_free(struct tls_context *c);
DEFINE_OWN(struct tls_context, tls_context_free)

/* The session keeps what it needs of the context, which may be freed before it. */
struct tls_session *tls_session_new(struct tls_context *c, int fd);
void tls_session_free(struct tls_session *s);

/* 0: done; ST_AGAIN: wait for what tls_wants_write says; ST_INVALID: refused. */
int tls_handshake(struct tls_session *s);
bool tls_established(const struct tls_session *s);
bool tls_wants_write(const struct tls_session *s);
/* As read(2): 0 at the end, -1 with errno (EAGAIN, EPROTO ...). */
ssize_t tls_read(struct tls_session *s, void *to, size_t n);
/* Bytes taken of the parts in order; 0: would block (then the same bytes must come again); -1:
 * failed. */
ssize_t tls_write(struct tls_session *s, const struct str *parts, size_t count);
size_t tls_pending(const struct tls_session *s); /* decrypted bytes that wait to be read */
void tls_bye(struct tls_session *s);

#endif
