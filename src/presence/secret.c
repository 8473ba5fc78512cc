#include "presence/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static int make_mac(const unsigned char *key, uint64_t name, unsigned char ret[SECRET_MAC_LEN])
{
	static const char purpose[] = "presenced resume";
	unsigned char data[sizeof(purpose) + sizeof(name)], mac[EVP_MAX_MD_SIZE];
	unsigned len;

	memcpy(data, purpose, sizeof(purpose));
	memcpy(data + sizeof(purpose), &name, sizeof(name));
	if (!HMAC(EVP_sha256(), key, SECRET_KEY_LEN, data, sizeof(data), mac, &len))
		return -ENOMEM;
	memcpy(ret, mac, SECRET_MAC_LEN);
	return 0;
}

int secret_make(const unsigned char key[SECRET_KEY_LEN], uint64_t name, char ret[SECRET_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char mac[SECRET_MAC_LEN];
	int err = make_mac(key, name, mac);
	if (err)
		return err;
	for (unsigned i = 0; i < SECRET_NAME_DIGITS; i++)
		ret[i] = digits[name >> (60 - 4 * i) & 15];
	for (unsigned i = 0; i < SECRET_MAC_LEN; i++) {
		ret[SECRET_NAME_DIGITS + 2 * i] = digits[mac[i] >> 4];
		ret[SECRET_NAME_DIGITS + 2 * i + 1] = digits[mac[i] & 15];
	}
	ret[SECRET_LEN] = '\0';
	return 0;
}

bool secret_open(
	const unsigned char key[SECRET_KEY_LEN], const char *text, size_t len, uint64_t *ret_name)
{
	char should_be[SECRET_TEXT_MAX];
	uint64_t name;

	if (len != SECRET_LEN || !secret_parse_name(text, SECRET_NAME_DIGITS, &name))
		return false;
	if (secret_make(key, name, should_be) || CRYPTO_memcmp(text, should_be, SECRET_LEN) != 0)
		return false;
	*ret_name = name;
	return true;
}

bool secret_parse_name(const char *text, size_t len, uint64_t *ret)
{
	uint64_t name = 0;

	if (len != SECRET_NAME_DIGITS)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			name = name << 4 | (uint64_t)(text[i] - '0');
		else if (text[i] >= 'a' && text[i] <= 'f')
			name = name << 4 | (uint64_t)(text[i] - 'a' + 10);
		else
			return false;
	}
	*ret = name;
	return true;
}
