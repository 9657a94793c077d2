// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Amendment, Enrolment, Revision, Revocation, Terms} from "../types/Types.sol";

/// @notice EIP-712 struct hashes of what members sign on chain. Every field is a value type, so a struct's ABI encoding is
/// its EIP-712 encoding.
library TypedData {
    bytes32 internal constant TERMS = keccak256(
        "Terms(uint16 version,uint32 client,uint32 provider,uint64 capacity,uint64 pricePerGibEpoch,"
        "uint64 egressPricePerGib,uint64 collateral,uint32 minBandwidthKibS,uint32 minRetentionEpochs,"
        "uint32 startEpoch,uint32 endEpoch,uint32 openBy,bytes32 salt,bytes32 renews,bytes32 qualityClause,"
        "bytes32 extension)"
    );
    bytes32 internal constant REVISION = keccak256(
        "Revision(uint16 version,bytes32 agreement,uint64 sequence,bytes32 previous,bytes32 root,uint64 leaves,"
        "uint64 bytesUp,uint64 bytesDown,uint32 expires,bytes32 extension)"
    );
    bytes32 internal constant AMENDMENT = keccak256(
        "Amendment(uint16 version,bytes32 agreement,uint32 number,uint64 capacity,uint64 pricePerGibEpoch,"
        "uint64 egressPricePerGib,uint64 collateral,uint32 minRetentionEpochs,uint32 endEpoch,uint32 expires,"
        "bytes32 extension)"
    );
    bytes32 internal constant ENROLMENT = keccak256(
        "Enrolment(uint16 version,address account,address node,bytes32 certificateHash,uint64 issuedAt,"
        "uint64 expiresAt,uint64 spendingLimit,bool exclusive,bytes32 extension)"
    );
    bytes32 internal constant REVOCATION = keccak256("Revocation(uint16 version,address node,bytes32 extension)");

    function hash(Terms calldata terms) internal pure returns (bytes32) {
        return keccak256(abi.encode(TERMS, terms));
    }

    function hash(Revision calldata revision) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVISION, revision));
    }

    function hash(Amendment calldata amendment) internal pure returns (bytes32) {
        return keccak256(abi.encode(AMENDMENT, amendment));
    }

    function hash(Enrolment calldata enrolment) internal pure returns (bytes32) {
        return keccak256(abi.encode(ENROLMENT, enrolment));
    }

    function hash(Revocation calldata revocation) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVOCATION, revocation));
    }
}
