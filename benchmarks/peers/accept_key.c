/* What a WebSocket's key is answered with: base64(SHA-1(key + the protocol's own text)).
 * Source: RFC 6455, 4.2.2, and RFC 3174. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST 20
#define ACCEPT 28
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

void accept_key(const char *key, size_t size, char accept[ACCEPT]);

static uint32_t turned(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    static const uint32_t added[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t word[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    for (int at = 0; at < 16; at++, block += 4)
        word[at] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16
                   | (uint32_t)block[2] << 8 | block[3];
    for (int at = 16; at < 80; at++)
        word[at] = turned(word[at - 3] ^ word[at - 8] ^ word[at - 14] ^ word[at - 16], 1);
    for (int at = 0; at < 80; at++) {
        uint32_t mixed = at < 20   ? (b & c) | (~b & d)
                         : at < 40 ? b ^ c ^ d
                         : at < 60 ? (b & c) | (b & d) | (c & d)
                                   : b ^ c ^ d;
        uint32_t next = turned(a, 5) + mixed + e + added[at / 20] + word[at];

        e = d;
        d = c;
        c = turned(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Of a key and the protocol's own text: two blocks at most. */
static void sha1(const char *text, size_t size, unsigned char digest[DIGEST])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char blocks[128] = {0};
    size_t end = (size + 8) / 64 * 64 + 64;

    memcpy(blocks, text, size);
    blocks[size] = 0x80;
    blocks[end - 2] = (unsigned char)(size >> 5);
    blocks[end - 1] = (unsigned char)(size << 3);
    for (size_t at = 0; at < end; at += 64)
        sha1_block(state, blocks + at);
    for (int at = 0; at < DIGEST; at++)
        digest[at] = (unsigned char)(state[at / 4] >> (24 - at % 4 * 8));
}

static void base64(const unsigned char digest[DIGEST], char accept[ACCEPT])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char padded[DIGEST + 1] = {0};

    memcpy(padded, digest, DIGEST);
    for (int at = 0; at < ACCEPT; at++) {
        const unsigned char *three = padded + at / 4 * 3;
        uint32_t bits = (uint32_t)three[0] << 16 | (uint32_t)three[1] << 8 | three[2];

        accept[at] = letters[bits >> (18 - at % 4 * 6) & 63];
    }
    accept[ACCEPT - 1] = '=';
}

/* For a key of 64 characters at most. */
void accept_key(const char *key, size_t size, char accept[ACCEPT])
{
    char text[64 + sizeof GUID];
    unsigned char digest[DIGEST];

    memcpy(text, key, size);
    memcpy(text + size, GUID, sizeof GUID - 1);
    sha1(text, size + sizeof GUID - 1, digest);
    base64(digest, accept);
}
