"""Foreign peers for the black-box tests: pynetdicom and dicomweb-client, driven from the command line.

Prints one JSON value. Nothing of Harpocrates is imported: this is what a hospital's own software would do.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys
import time
import warnings

warnings.filterwarnings("ignore")


def send(args):
    """C-STORE of files as they are, without decoding them: the statuses, by file."""
    import pydicom
    from pynetdicom import AE, _config

    _config.STORE_SEND_CHUNKED_DATASET = True
    files = [pathlib.Path(name) for name in args.files]
    ae = AE(ae_title=args.calling)
    contexts = set()
    for file in files:
        meta = pydicom.filereader.read_file_meta_info(file)
        contexts.add((meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID))
    for sop_class, syntax in sorted(contexts):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate(args.host, args.port, ae_title=args.called)
    if not association.is_established:
        sys.exit("the association was refused")
    statuses = {}
    for file in files:
        # A dropped association must not stop the others from being reported as not stored.
        try:
            answer = association.send_c_store(file)
            statuses[str(file)] = answer.Status if "Status" in answer else None
        except Exception as error:  # noqa: BLE001
            statuses[str(file)] = None
            print(error, file=sys.stderr)
    association.release()
    return statuses


def client(args):
    from dicomweb_client.api import DICOMwebClient

    headers = {"Authorization": "Bearer " + args.token}
    if args.purpose:
        headers["X-Purpose-Of-Use"] = args.purpose
    return DICOMwebClient(url=args.url, headers=headers)


def stow(args):
    """STOW-RS of whole files: what the server says of each."""
    web = client(args)
    parts = [pathlib.Path(name).read_bytes() for name in args.files]
    boundary = hashlib.sha256(b"".join(parts)).hexdigest()
    head = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + part for part in parts) + f"\r\n--{boundary}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    # The client's own store_instances() would write every data set anew, and the bytes are the test.
    response = web._session.post(
        args.url + "/studies",
        data=body,
        headers={"Content-Type": kind, "Accept": "application/dicom+json"},
    )
    return {"status": response.status_code, "body": response.text}


def search(args):
    """QIDO-RS: the rows."""
    web = client(args)
    filters = dict(pair.split("=", 1) for pair in args.filters)
    if args.study:
        return web.search_for_instances(study_instance_uid=args.study, search_filters=filters)
    return web.search_for_studies(search_filters=filters)


def wait(args):
    """Waits until studies have at least so many instances each: UID=NUMBER. What is missing in the end."""
    web = client(args)
    missing = {uid: int(number) for uid, number in (pair.split("=") for pair in args.studies)}
    until = time.monotonic() + args.seconds
    while missing and time.monotonic() < until:
        for uid, number in list(missing.items()):
            try:
                rows = web.search_for_instances(study_instance_uid=uid)
            except Exception as error:  # noqa: BLE001
                print(error, file=sys.stderr)
                rows = []
            if len(rows) >= number:
                del missing[uid]
        time.sleep(0.1)
    return missing


def retrieve(args):
    """WADO-RS of studies: the bytes as they come, one file an instance; for each study status, body and files."""
    web = client(args)
    return {study: retrieve_one(args, web, study) for study in args.studies}


def retrieve_one(args, web, study):
    response = web._session.get(
        f"{args.url}/studies/{study}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    if response.status_code != 200:
        return {"status": response.status_code, "body": response.text, "files": []}
    folder = pathlib.Path(args.out) / study
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, part in enumerate(parts_of(response)):
        file = folder / f"{number}.dcm"
        file.write_bytes(part)
        files.append(str(file))
    if args.decode:
        # The library's own reading must come to the same instances.
        read = {str(instance.SOPInstanceUID) for instance in web.retrieve_study(study)}
        import pydicom

        assert read == {str(pydicom.dcmread(file, force=True).SOPInstanceUID) for file in files}
    return {"status": 200, "body": "", "files": files}


def parts_of(response):
    kind = response.headers["Content-Type"]
    boundary = re.search(r'boundary="?([^";]+)"?', kind).group(1).encode()
    pieces = (b"\r\n" + response.content).split(b"\r\n--" + boundary)
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return
        yield piece.split(b"\r\n\r\n", 1)[1]
    sys.exit("the answer ends without its closing boundary")


def identify(args):
    """What tells of a person in files: names, identifiers, UIDs, institutions."""
    import pydicom

    words = [
        "PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
        "InstitutionName", "ReferringPhysicianName", "AccessionNumber", "StudyDescription",
        "OperatorsName", "StationName", "FrameOfReferenceUID", "PerformingPhysicianName",
    ]
    found = {}
    for name in args.files:
        data = pydicom.dcmread(name, force=True, stop_before_pixels=True)
        found[name] = {
            word: str(data.get(word)) for word in words if data.get(word) not in (None, "")
        }
    return found


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("send")
    command.set_defaults(run=send)
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, required=True)
    command.add_argument("--called", default="HARPO")
    command.add_argument("--calling", default="PYNETDICOM")
    command.add_argument("files", nargs="+")

    for name, run in [("stow", stow), ("search", search), ("wait", wait), ("retrieve", retrieve)]:
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--url", required=True)
        command.add_argument("--token", required=True)
        command.add_argument("--purpose")
        if name == "stow":
            command.add_argument("files", nargs="+")
        if name == "search":
            command.add_argument("--study")
            command.add_argument("filters", nargs="*")
        if name == "wait":
            command.add_argument("--seconds", type=float, default=90)
            command.add_argument("studies", nargs="+")
        if name == "retrieve":
            command.add_argument("studies", nargs="+")
            command.add_argument("--out", required=True)
            command.add_argument("--decode", action="store_true")

    command = commands.add_parser("identify")
    command.set_defaults(run=identify)
    command.add_argument("files", nargs="+")

    args = parser.parse_args()
    print(json.dumps(args.run(args)))


main()
