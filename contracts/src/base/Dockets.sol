// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Bill} from "../interfaces/IAgreements.sol";
import {Docket, DocketState, IDockets} from "../interfaces/IDockets.sol";
import {Kinds} from "../libraries/Kinds.sol";
import {Ledger, Record} from "../libraries/Settlement.sol";
import {StateTable} from "../libraries/StateTable.sol";
import {AgreementState} from "../types/Types.sol";
import {Accounts} from "./Accounts.sol";

/// @notice Agreements' ledgers, and appeals against the heavy penalties taken from them. See IDockets.
abstract contract Dockets is Accounts, IDockets {
    using StateTable for AgreementState;

    uint256 private constant MAX_REASON = 256;

    mapping(bytes32 id => Ledger) internal _ledger;
    mapping(bytes32 id => Record) internal _record;
    mapping(bytes32 id => mapping(uint32 number => Docket)) internal _docket;

    /// @inheritdoc IDockets
    function appeal(bytes32 id, uint32 number, string calldata reason) external override onlyCurrent(Kinds.CLEARING) {
        Docket storage docket = _known(id, number);
        if (docket.state != DocketState.OPEN) revert WrongDocketState(id, number, docket.state);
        uint32 member = _sender();
        if (member != _agreements().billOf(id).provider) revert NotTheProvider(id, member);
        if (bytes(reason).length > MAX_REASON) revert ReasonTooLong(bytes(reason).length, MAX_REASON);
        uint32 epoch = currentEpoch();
        if (epoch > docket.appealUntil) revert AppealTooLate(id, number, docket.appealUntil, epoch);
        docket.state = DocketState.APPEALED;
        docket.decideUntil = epoch + uint32(_rules().decideEpochs());
        emit Appealed(id, number, member, reason, docket.decideUntil);
    }

    /// @inheritdoc IDockets
    function decide(bytes32 id, uint32 number, bool cancelled) external override onlyCurrent(Kinds.CLEARING) {
        if (msg.sender != Ownable(address(directory)).owner()) revert NotTheOwner(msg.sender);
        Docket storage docket = _known(id, number);
        if (docket.state != DocketState.APPEALED) revert WrongDocketState(id, number, docket.state);
        uint32 epoch = currentEpoch();
        if (epoch > docket.decideUntil) revert DecisionTooLate(id, number, docket.decideUntil, epoch);
        _close(id, number, docket, cancelled, true);
    }

    /// @inheritdoc IDockets
    function conclude(bytes32 id, uint32 number) external override onlyCurrent(Kinds.CLEARING) {
        Docket storage docket = _known(id, number);
        DocketState state = docket.state;
        if (state != DocketState.OPEN && state != DocketState.APPEALED) revert WrongDocketState(id, number, state);
        uint32 until = state == DocketState.OPEN ? docket.appealUntil : docket.decideUntil;
        uint32 epoch = currentEpoch();
        if (epoch <= until) revert StillContested(id, number, until, epoch);
        _close(id, number, docket, false, false);
    }

    /// @inheritdoc IDockets
    function docketOf(bytes32 id, uint32 number) external view override returns (Docket memory) {
        return _docket[id][number];
    }

    /// @inheritdoc IDockets
    function docketsOf(bytes32 id) external view override returns (Docket[] memory dockets) {
        dockets = new Docket[](_record[id].dockets);
        for (uint32 number = 0; number < dockets.length; ++number) {
            dockets[number] = _docket[id][number];
        }
    }

    /// @dev Opens a docket over a heavy penalty, which the caller has taken from the collateral.
    function _contest(bytes32 id, uint32 number, uint256 toClient, uint256 burned) internal {
        uint32 epoch = currentEpoch();
        uint32 appealUntil = epoch + uint32(_rules().appealEpochs());
        // All credits together fit into 80 bits, see Accounts.
        _docket[id][number] = Docket(uint80(toClient), uint80(burned), appealUntil, 0, DocketState.OPEN);
        emit Contested(id, number, epoch, toClient, burned, appealUntil);
    }

    function _close(bytes32 id, uint32 number, Docket storage docket, bool cancelled, bool decided) private {
        (uint256 toClient, uint256 burned) = (docket.toClient, docket.burned);
        docket.state = cancelled ? DocketState.CANCELLED : DocketState.STANDS;
        emit Concluded(id, number, cancelled, decided, toClient, burned);
        Bill memory bill = _agreements().billOf(id);
        if (!cancelled) {
            balanceOf[bill.client] += toClient;
            _burn(burned);
            return;
        }
        Record storage record = _record[id];
        record.compensated -= uint80(toClient);
        record.burned -= uint80(burned);
        // Back to where it was taken from; what was taken of 64 bits fits again.
        if (bill.state.live()) _ledger[id].collateral += uint64(toClient + burned);
        else balanceOf[bill.provider] += toClient + burned;
    }

    function _known(bytes32 id, uint32 number) private view returns (Docket storage docket) {
        docket = _docket[id][number];
        if (docket.state == DocketState.NONE) revert NoDocket(id, number);
    }
}
