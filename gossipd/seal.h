/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption layer of packets and streams: version, nonce, ciphertext, tag. struct seal holds a
 * cipher per key of a keyring and follows its changes.
 *
 *     datagram: block, the label is authenticated too
 *     stream:   0a, size of the block, block; these five bytes and the label are authenticated
 */
#ifndef MUSTER_GOSSIPD_SEAL_H
#define MUSTER_GOSSIPD_SEAL_H

#include "common/sys/aead.h"
#include "gossipd/core/keyring.h"

enum { SEAL_VERSION_MAX = 1, SEAL_OVERHEAD = 29, SEAL_STREAM_HEADER = 5 };

struct seal {
	const struct keyring *keyring;
	uint32_t version; /* of the keyring that the ciphers are of */
	struct aead *ciphers[KEYRING_MAX];
	uint32_t count;
};

void seal_init(struct seal *s, const struct keyring *keyring); /* the keyring outlives it */
void seal_fini(struct seal *s);
bool seal_active(const struct seal *s);

/* What goes out, under the first key. version: 1, or 0 for the oldest peers (padded). nonce: of
 * AEAD_NONCE_SIZE random bytes. */
struct seal_form {
	uint8_t version;
	const void *nonce;
	struct str label;
};
void seal_packet(struct seal *s, const struct seal_form *form, struct str plain, struct buf *out);
void seal_stream(struct seal *s, const struct seal_form *form, struct str plain, struct buf *out);

/* What came in: appended to *out. ST_INVALID: no key fits, or it is no block. */
int unseal_packet(struct seal *s, struct str label, struct str packet, struct buf *out);
/* bytes: from the type byte on. ST_AGAIN while the block is not complete. */
int unseal_stream(struct seal *s, struct str label, struct str bytes, struct buf *out);

#endif
