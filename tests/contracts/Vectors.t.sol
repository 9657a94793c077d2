// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";
import {stdJson} from "forge-std/StdJson.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {TypedData} from "peerage/libraries/TypedData.sol";
import {Amendment, Enrolment, LEAF_SIZE, Revision, Revocation, Terms} from "peerage/types/Types.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice The golden vectors that the Python packages are tested against, too.
contract VectorsTest is Test {
    using stdJson for string;

    function fold(bytes calldata proof) external view returns (bytes32, uint256, uint256[] memory) {
        return SumTree.fold(proof, 64);
    }

    function hash(Terms calldata given) external pure returns (bytes32) {
        return TypedData.hash(given);
    }

    function hash(Revision calldata given) external pure returns (bytes32) {
        return TypedData.hash(given);
    }

    function hash(Amendment calldata given) external pure returns (bytes32) {
        return TypedData.hash(given);
    }

    function hash(Enrolment calldata given) external pure returns (bytes32) {
        return TypedData.hash(given);
    }

    function hash(Revocation calldata given) external pure returns (bytes32) {
        return TypedData.hash(given);
    }

    function test_sumTree() public view {
        string memory json = vm.readFile("tests/vectors/sum_tree.json");
        uint256 number;
        for (; json.keyExists(at("", number)); ++number) {
            bytes memory leaf = new bytes(LEAF_SIZE);
            bytes1 fill = bytes1(uint8(json.readUint(at(".fill", number))));
            for (uint256 i = 0; i < LEAF_SIZE; ++i) {
                leaf[i] = fill;
            }
            bytes memory proof = SumTrees.along(
                leaf,
                json.readBytes32Array(at(".siblings", number)),
                json.readUintArray(at(".counts", number)),
                json.readUint(at(".lefts", number))
            );
            (bytes32 root, uint256 leaves, uint256[] memory opened) = this.fold(proof);
            assertEq(root, json.readBytes32(at(".root", number)));
            assertEq(leaves, json.readUint(at(".leaves", number)));
            assertEq(opened.length, 1);
            assertEq(opened[0], json.readUint(at(".index", number)));
        }
        assertGe(number, 30);
    }

    function test_proofs() public view {
        string memory json = vm.readFile("tests/vectors/proofs.json");
        uint256 number;
        for (; json.keyExists(at("", number)); ++number) {
            (bytes32 root, uint256 leaves, uint256[] memory opened) = this.fold(json.readBytes(at(".proof", number)));
            assertEq(root, json.readBytes32(at(".root", number)));
            assertEq(leaves, json.readUint(at(".leaves", number)));
            assertEq(opened, json.readUintArray(at(".indices", number)));
        }
        assertGe(number, 8);
    }

    function test_typedData() public view {
        string memory json = vm.readFile("tests/vectors/eip712.json");
        bytes32 separator = json.readBytes32(".separator");
        uint256 checked;
        for (uint256 n = 0; json.keyExists(at("", n)); ++n) {
            bytes32 hashed = hashCase(json, at(".message", n), keccak256(bytes(json.readString(at(".type", n)))));
            if (hashed == 0) continue;
            ++checked;
            assertEq(hashed, json.readBytes32(at(".structHash", n)));
            bytes32 digest = keccak256(abi.encodePacked(hex"1901", separator, hashed));
            assertEq(digest, json.readBytes32(at(".digest", n)));
        }
        assertGe(checked, 6);
        assertEq(TypedData.TERMS, keccak256(bytes(json.readString(".encodeType.Terms"))));
        assertEq(TypedData.REVISION, keccak256(bytes(json.readString(".encodeType.Revision"))));
        assertEq(TypedData.ENROLMENT, keccak256(bytes(json.readString(".encodeType.Enrolment"))));
        assertEq(TypedData.REVOCATION, keccak256(bytes(json.readString(".encodeType.Revocation"))));
    }

    /// @dev Zero for a type that no contract reads.
    function hashCase(string memory json, string memory key, bytes32 kind) internal view returns (bytes32) {
        if (kind == keccak256("Terms")) return this.hash(terms(json, key));
        if (kind == keccak256("Revision")) return this.hash(revision(json, key));
        if (kind == keccak256("Enrolment")) return this.hash(enrolment(json, key));
        if (kind == keccak256("Amendment")) return this.hash(amendment(json, key));
        if (kind == keccak256("Revocation")) {
            return this.hash(
                Revocation(
                    uint16(num(json, key, ".version")),
                    json.readAddress(string.concat(key, ".node")),
                    word(json, key, ".extension")
                )
            );
        }
        return 0;
    }

    function terms(string memory json, string memory key) internal pure returns (Terms memory given) {
        given.version = uint16(num(json, key, ".version"));
        given.client = uint32(num(json, key, ".client"));
        given.provider = uint32(num(json, key, ".provider"));
        given.capacity = uint64(num(json, key, ".capacity"));
        given.pricePerGibEpoch = uint64(num(json, key, ".pricePerGibEpoch"));
        given.egressPricePerGib = uint64(num(json, key, ".egressPricePerGib"));
        given.collateral = uint64(num(json, key, ".collateral"));
        given.minBandwidthKibS = uint32(num(json, key, ".minBandwidthKibS"));
        given.minRetentionEpochs = uint32(num(json, key, ".minRetentionEpochs"));
        given.startEpoch = uint32(num(json, key, ".startEpoch"));
        given.endEpoch = uint32(num(json, key, ".endEpoch"));
        given.openBy = uint32(num(json, key, ".openBy"));
        given.salt = word(json, key, ".salt");
        given.renews = word(json, key, ".renews");
        given.qualityClause = word(json, key, ".qualityClause");
        given.extension = word(json, key, ".extension");
    }

    function amendment(string memory json, string memory key) internal pure returns (Amendment memory given) {
        given.version = uint16(num(json, key, ".version"));
        given.agreement = word(json, key, ".agreement");
        given.number = uint32(num(json, key, ".number"));
        given.capacity = uint64(num(json, key, ".capacity"));
        given.pricePerGibEpoch = uint64(num(json, key, ".pricePerGibEpoch"));
        given.egressPricePerGib = uint64(num(json, key, ".egressPricePerGib"));
        given.collateral = uint64(num(json, key, ".collateral"));
        given.minRetentionEpochs = uint32(num(json, key, ".minRetentionEpochs"));
        given.endEpoch = uint32(num(json, key, ".endEpoch"));
        given.expires = uint32(num(json, key, ".expires"));
        given.extension = word(json, key, ".extension");
    }

    function revision(string memory json, string memory key) internal pure returns (Revision memory given) {
        given.version = uint16(num(json, key, ".version"));
        given.agreement = word(json, key, ".agreement");
        given.sequence = uint64(num(json, key, ".sequence"));
        given.previous = word(json, key, ".previous");
        given.root = word(json, key, ".root");
        given.leaves = uint64(num(json, key, ".leaves"));
        given.bytesUp = uint64(num(json, key, ".bytesUp"));
        given.bytesDown = uint64(num(json, key, ".bytesDown"));
        given.expires = uint32(num(json, key, ".expires"));
        given.extension = word(json, key, ".extension");
    }

    function enrolment(string memory json, string memory key) internal pure returns (Enrolment memory given) {
        given.version = uint16(num(json, key, ".version"));
        given.account = json.readAddress(string.concat(key, ".account"));
        given.node = json.readAddress(string.concat(key, ".node"));
        given.certificateHash = word(json, key, ".certificateHash");
        given.issuedAt = uint64(num(json, key, ".issuedAt"));
        given.expiresAt = uint64(num(json, key, ".expiresAt"));
        given.spendingLimit = uint64(num(json, key, ".spendingLimit"));
        given.exclusive = json.readBool(string.concat(key, ".exclusive"));
        given.extension = word(json, key, ".extension");
    }

    function num(string memory json, string memory key, string memory field) internal pure returns (uint256) {
        return json.readUint(string.concat(key, field));
    }

    function word(string memory json, string memory key, string memory field) internal pure returns (bytes32) {
        return json.readBytes32(string.concat(key, field));
    }

    function at(string memory field, uint256 number) internal pure returns (string memory) {
        return string.concat(".cases[", vm.toString(number), "]", field);
    }
}
