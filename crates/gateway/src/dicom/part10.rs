//! Writing the file meta header (PS3.10 section 7.1) before a data set that stays as it was.

use super::uid;

/// Preamble, mark and file meta header for a data set of one instance.
///
/// The same input gives the same bytes. Over-long UIDs are cut to their 64 characters; callers
/// have checked them.
#[must_use]
pub fn meta(sop_class_uid: &str, sop_instance_uid: &str, transfer_syntax_uid: &str) -> Vec<u8> {
    let mut group = Vec::with_capacity(256);
    long(&mut group, 0x0001, b"OB", &[0, 1]);
    short(&mut group, 0x0002, b"UI", sop_class_uid, 0);
    short(&mut group, 0x0003, b"UI", sop_instance_uid, 0);
    short(&mut group, 0x0010, b"UI", transfer_syntax_uid, 0);
    short(&mut group, 0x0012, b"UI", uid::IMPLEMENTATION_CLASS, 0);
    short(&mut group, 0x0013, b"SH", uid::IMPLEMENTATION_VERSION, b' ');
    let mut out = vec![0u8; 128];
    out.extend_from_slice(b"DICM");
    out.extend_from_slice(&[0x02, 0x00, 0x00, 0x00]);
    out.extend_from_slice(b"UL");
    out.extend_from_slice(&4u16.to_le_bytes());
    // A few hundred bytes by construction.
    out.extend_from_slice(&u32::try_from(group.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&group);
    out
}

fn short(out: &mut Vec<u8>, element: u16, vr: &[u8; 2], value: &str, pad: u8) {
    let value = &value.as_bytes()[..value.len().min(uid::MAX_LENGTH)];
    let padded = value.len() + value.len() % 2;
    out.extend_from_slice(&[0x02, 0x00]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(vr);
    out.extend_from_slice(&u16::try_from(padded).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + value.len() % 2, pad);
}

fn long(out: &mut Vec<u8>, element: u16, vr: &[u8; 2], value: &[u8]) {
    out.extend_from_slice(&[0x02, 0x00]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(vr);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dicom_rs_reads_it_back() {
        let bytes = meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3", uid::EXPLICIT_LE);
        let table = dicom_object::FileMetaTable::from_reader(&bytes[128..]).unwrap();
        assert_eq!(
            table.media_storage_sop_class_uid(),
            "1.2.840.10008.5.1.4.1.1.2"
        );
        assert_eq!(table.media_storage_sop_instance_uid(), "1.2.3");
        assert_eq!(table.transfer_syntax(), uid::EXPLICIT_LE);
        assert_eq!(
            table.information_group_length as usize + 128 + 4 + 12,
            bytes.len()
        );
    }
}
