//! The encryption of Web Push messages: RFC 8291 over RFC 8188, one record.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;

/// The size of a record, of which there is one.
const RECORD_BYTES: u32 = 4_096;
const SALT_BYTES: usize = 16;
/// What a service must take at least (RFC 8030, 7.2), less what the encryption adds.
pub const PLAIN_BYTES_MAX: usize = 4_096 - 86 - 17;

/// The keys of a subscription.
pub struct Subscription<'a> {
    /// The receiver's public key: an uncompressed point.
    pub p256dh: &'a [u8],
    /// The receiver's authentication secret.
    pub auth: &'a [u8],
}

#[derive(Clone, Copy)]
struct OutputBytes(usize);

impl KeyType for OutputBytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The body of a request. Fails if the receiver's key is no point of the curve.
pub fn encrypt(subscription: &Subscription<'_>, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let sender = PrivateKey::generate(&ECDH_P256)?;
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt)?;
    encrypt_with(subscription, plain, &sender, &salt)
}

fn encrypt_with(
    subscription: &Subscription<'_>,
    plain: &[u8],
    sender: &PrivateKey,
    salt: &[u8; SALT_BYTES],
) -> Result<Vec<u8>, Unspecified> {
    let Subscription { p256dh, auth } = subscription;
    let public = sender.compute_public_key()?;
    let receiver = UnparsedPublicKey::new(&ECDH_P256, p256dh);
    let mut shared = [0; 32];
    agree(sender, receiver, Unspecified, |secret| {
        let prk = Salt::new(HKDF_SHA256, auth).extract(secret);
        expand(&prk, &[b"WebPush: info\0", p256dh, public.as_ref()], &mut shared)
    })?;
    let prk = Salt::new(HKDF_SHA256, salt).extract(&shared);
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    expand(&prk, &[b"Content-Encoding: aes128gcm\0"], &mut key)?;
    expand(&prk, &[b"Content-Encoding: nonce\0"], &mut nonce)?;
    let sealing = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let mut sealed = plain.to_vec();
    // The last record ends so, without padding.
    sealed.push(2);
    sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)?;
    let id_bytes = u8::try_from(public.as_ref().len()).map_err(|_| Unspecified)?;
    Ok([&salt[..], &RECORD_BYTES.to_be_bytes(), &[id_bytes], public.as_ref(), &sealed].concat())
}

fn expand(prk: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
    prk.expand(info, OutputBytes(out.len()))?.fill(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

    #[test]
    fn the_example_of_the_specification_comes_out() {
        // RFC 8291, 5 and appendix A.
        let bytes = |text: &str| BASE64URL.decode(text).expect("base64url");
        let sender = PrivateKey::from_private_key(&ECDH_P256, &bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
        let p256dh = bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let (auth, salt) = (bytes("BTBZMqHH6r4Tts7J_aSIgg"), bytes("DGv6ra1nlYgDCS1FRnbzlw"));
        let subscription = Subscription { p256dh: &p256dh, auth: &auth };
        let body = encrypt_with(
            &subscription,
            b"When I grow up, I want to be a watermelon",
            &sender.expect("a key"),
            &salt.try_into().expect("16 bytes"),
        );
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64URL.encode(body.expect("encrypted")), expected);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(encrypt(&Subscription { p256dh: &[4; 65], auth: &[1; 16] }, b"x").is_err());
    }
}
