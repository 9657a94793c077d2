// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IDirectory} from "./interfaces/IDirectory.sol";
import {Params} from "./types/Types.sol";

/// @notice The one address to know. See IDirectory.
contract Directory is IDirectory, Ownable2Step, EIP712 {
    /// @dev As wide as the bits that Clearing keeps of each agreement's misses.
    uint256 private constant MAX_WINDOW = 64;
    uint256 private constant MAX_SAMPLES = 256;

    Params private _params;
    mapping(bytes32 kind => address) private _current;
    mapping(bytes32 kind => uint32) private _versions;

    /// @dev The owner is tx.origin: the Directory is deployed through the CREATE2 proxy, which would be msg.sender, and an
    /// owner among the constructor's arguments would change the address that every recovery sheet relies on.
    // solhint-disable-next-line avoid-tx-origin
    constructor() Ownable(tx.origin) EIP712("Peerage", "1") {}

    /// @inheritdoc IDirectory
    function configure(Params calldata given) external override onlyOwner {
        if (_params.epochSeconds != 0) revert AlreadyConfigured();
        Params memory p = given;
        if (p.genesisTime == 0) p.genesisTime = uint64(block.timestamp);
        if (p.samples == 0) p.samples = 8;
        if (p.graceEpochs == 0) p.graceEpochs = 16;
        if (p.escrowEpochs == 0) p.escrowEpochs = 32;
        if (p.windowEpochs == 0) p.windowEpochs = 16;
        if (p.failAt == 0) p.failAt = 6;
        if (p.commitDelay == 0) p.commitDelay = 2;
        if (p.standDownAfter == 0) p.standDownAfter = 64;
        if (p.repairEpochs == 0) p.repairEpochs = 16;
        if (p.minCapacity == 0) p.minCapacity = 1 << 20;

        if (p.epochSeconds < 2) revert BadParameter("epochSeconds");
        if (p.samples > MAX_SAMPLES) revert BadParameter("samples");
        if (p.windowEpochs > MAX_WINDOW) revert BadParameter("windowEpochs");
        if (p.failAt > p.windowEpochs) revert BadParameter("failAt");
        if (p.commitDelay < 2) revert BadParameter("commitDelay");
        _params = p;
        emit Configured(p);
    }

    /// @inheritdoc IDirectory
    function set(bytes32 kind, address current) external override onlyOwner {
        if (current.code.length == 0) revert NotAContract(kind, current);
        _current[kind] = current;
        emit ContractSet(kind, current, ++_versions[kind]);
    }

    /// @inheritdoc IDirectory
    function get(bytes32 kind) external view override returns (address) {
        return _current[kind];
    }

    /// @inheritdoc IDirectory
    function version(bytes32 kind) external view override returns (uint32) {
        return _versions[kind];
    }

    /// @inheritdoc IDirectory
    function params() external view override returns (Params memory) {
        if (_params.epochSeconds == 0) revert NotConfigured();
        return _params;
    }

    /// @inheritdoc IDirectory
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }
}
