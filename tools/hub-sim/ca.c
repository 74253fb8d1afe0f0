/* ca.c: both certificates take 2 ms to make, so none is ever kept. */
#include "ca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

/* A star covers one label and never a whole domain: one name per suffix
 * (PROBES, libcurl).  The set is CLIENTS 4.1 and the other clouds of
 * CONTRACT 1. */
static const char names[] =
    "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1,IP:169.254.169.254,"
    "DNS:management.azure.com,DNS:login.microsoftonline.com,"
    "DNS:azure.microsoft.com,DNS:*.azure-devices.net,"
    "DNS:*.azure-devices-provisioning.net,DNS:*.blob.core.windows.net,"
    "DNS:*.servicebus.windows.net,DNS:*.documents.azure.com,"
    "DNS:management.usgovcloudapi.net,DNS:login.microsoftonline.us,"
    "DNS:*.azure-devices.us,DNS:*.azure-devices-provisioning.us,"
    "DNS:*.blob.core.usgovcloudapi.net,DNS:*.servicebus.usgovcloudapi.net,"
    "DNS:*.documents.azure.us,"
    "DNS:management.chinacloudapi.cn,DNS:login.chinacloudapi.cn,"
    "DNS:*.azure-devices.cn,DNS:*.azure-devices-provisioning.cn,"
    "DNS:*.blob.core.chinacloudapi.cn,DNS:*.servicebus.chinacloudapi.cn,"
    "DNS:*.documents.azure.cn";

struct extension {
	int nid;
	const char *value;
};

static bool
extend(X509 *cert, X509 *issuer, const struct extension *list)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	for (; list->value; list++) {
		X509_EXTENSION *e =
		    X509V3_EXT_conf_nid(NULL, &ctx, list->nid, list->value);
		bool added = e && X509_add_ext(cert, e, -1);

		X509_EXTENSION_free(e);
		if (!added)
			return false;
	}
	return true;
}

/* By the real clock, with a day to spare for one that is off; issuer NULL:
 * signed by itself. */
static X509 *
certificate(const char *common_name, EVP_PKEY *key, X509 *issuer,
    EVP_PKEY *issuer_key, const struct extension *list)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	unsigned char serial[15];
	BIGNUM *number = NULL;
	bool ok = false;

	if (!cert || RAND_bytes(serial, sizeof serial) != 1)
		goto out;
	serial[0] |= 1;
	number = BN_bin2bn(serial, sizeof serial, NULL);
	name = X509_get_subject_name(cert);
	ok = number &&
	     BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) &&
	     X509_set_version(cert, 2) &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
	     X509_gmtime_adj(X509_getm_notAfter(cert), 30 * 86400L) &&
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		 (const unsigned char *)common_name, -1, -1, 0) &&
	     X509_set_issuer_name(
		 cert, issuer ? X509_get_subject_name(issuer) : name) &&
	     X509_set_pubkey(cert, key) &&
	     extend(cert, issuer ? issuer : cert, list) &&
	     X509_sign(cert, issuer_key, EVP_sha256());
out:
	BN_free(number);
	if (!ok) {
		X509_free(cert);
		cert = NULL;
	}
	return cert;
}

static int
write_pem(const char *file, X509 *cert, struct err *e)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *at;
	long len;
	int fd = -1, result = -1;

	if (!text || !PEM_write_bio_X509(text, cert)) {
		(void)err_set(e, LOCAL_FAILURE, file, "no certificate: %s",
		    ERR_reason_error_string(ERR_get_error()));
		goto out;
	}
	len = BIO_get_mem_data(text, &at);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, at, (size_t)len) != len) {
		(void)err_set(e, LOCAL_FAILURE, file, "cannot be written: %s",
		    strerror(errno));
		goto out;
	}
	result = 0;
out:
	BIO_free(text);
	if (fd != -1 && close(fd) && result == 0)
		result = err_set(e, LOCAL_FAILURE, file,
		    "cannot be written: %s", strerror(errno));
	return result;
}

/* HTTP/1.1 is all there is; clients that offer HTTP/2 are told so. */
static int
choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned int in_len, void *arg)
{
	(void)ssl;
	(void)arg;
	for (unsigned int i = 0; i < in_len; i += in[i] + 1u)
		if (in[i] == 8 && i + 8 < in_len &&
		    memcmp(in + i + 1, "http/1.1", 8) == 0) {
			*out = in + i + 1;
			*out_len = 8;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *
context(X509 *cert, EVP_PKEY *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return NULL;
	/*
	 * One ticket, though few come back with it: a client with Nagle's
	 * algorithm waits 40 ms for some answer to the end of its handshake
	 * before it sends its request.
	 */
	if (!SSL_CTX_use_certificate(ctx, cert) ||
	    !SSL_CTX_use_PrivateKey(ctx, key) ||
	    !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
	    !SSL_CTX_set_num_tickets(ctx, 1)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	/* An idle connection then holds no buffers of OpenSSL's. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
					SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
	return ctx;
}

SSL_CTX *
ca_context(const char *pem_file, struct err *e)
{
	static const struct extension of_ca[] = {
		{ NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
		{ NID_key_usage, "critical,keyCertSign,cRLSign" },
		{ NID_subject_key_identifier, "hash" },
		{ 0, NULL },
	};
	static const struct extension of_leaf[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "serverAuth" },
		{ NID_subject_key_identifier, "hash" },
		{ NID_authority_key_identifier, "keyid" },
		{ NID_subject_alt_name, names },
		{ 0, NULL },
	};
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = NULL, *leaf = NULL;
	SSL_CTX *ctx = NULL;

	if (ca_key && key)
		ca = certificate("hub-sim CA", ca_key, NULL, ca_key, of_ca);
	if (ca)
		leaf = certificate("hub-sim", key, ca, ca_key, of_leaf);
	if (!leaf)
		(void)err_set(e, LOCAL_FAILURE, NULL, "no certificate: %s",
		    ERR_reason_error_string(ERR_get_error()));
	else if (write_pem(pem_file, ca, e) == 0 && !(ctx = context(leaf, key)))
		(void)err_set(e, LOCAL_FAILURE, NULL, "no TLS: %s",
		    ERR_reason_error_string(ERR_get_error()));
	X509_free(leaf);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return ctx;
}
