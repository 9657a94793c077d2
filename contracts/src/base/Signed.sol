// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {TYPES_VERSION} from "../types/Types.sol";
import {Peered} from "./Peered.sol";

/// @notice Base of the contracts that check EIP-712 signatures, under the one domain of the Directory.
abstract contract Signed is Peered {
    bytes32 private immutable _DOMAIN;
    uint256 private immutable _CHAIN_ID;

    constructor() {
        _DOMAIN = directory.domainSeparator();
        _CHAIN_ID = block.chainid;
    }

    function _digest(bytes32 structHash) internal view returns (bytes32) {
        // A chain that forks under another id must not accept what was signed for the first.
        bytes32 domain = block.chainid == _CHAIN_ID ? _DOMAIN : directory.domainSeparator();
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @dev Zero for anything but a 65-byte signature with a low s.
    function _recover(bytes32 digest, bytes calldata signature) internal pure returns (address signer) {
        (signer,,) = ECDSA.tryRecover(digest, signature);
    }

    function _requireKnown(uint16 version, bytes32 extension) internal pure {
        if (version != TYPES_VERSION) revert UnsupportedVersion(version);
        if (extension != 0) revert UnsupportedExtension(extension);
    }
}
